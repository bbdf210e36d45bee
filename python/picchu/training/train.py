"""The run: encode, take steps, leave checkpoints and samples, write the result."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import time
from pathlib import Path
from typing import Any

from .card import model_card
from .checkpoints import WEIGHTS, Checkpoints, order_metadata
from .devices import device_of, precision_of
from .encoded import Encoded
from .family import open_family
from .folder import RunFolder, write_whole
from .pictures import Picture, Pictures, Plan
from .settings import Settings
from .weights import licence_of, locate

# The batch that is looked at again and again: so many pictures, each at these levels of noise.
FIXED_PICTURES = 4
FIXED_LEVELS = (0.125, 0.375, 0.625, 0.875)


def train(settings: Settings, folder: RunFolder) -> str:
    """Trains to the end, or until somebody asks to stop; ``completed`` or ``stopped``."""
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    device = device_of(settings.device)
    precision, dtype = precision_of(settings.mixed_precision, device)
    settings = dataclasses.replace(settings, mixed_precision=precision)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=precision,
        gradient_accumulation_steps=settings.gradient_accumulation,
    )
    set_seed(settings.seed)
    return _Run(settings, folder, accelerator, dtype).go()


def rate(settings: Settings, step: int) -> float:
    """The learning rate of a step, counted from 0."""
    warm = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    left = max(0.0, (settings.steps - step) / max(1, settings.steps - settings.warmup_steps))
    fall = {
        "constant": 1.0,
        "linear": min(1.0, left),
        "cosine": 0.5 - 0.5 * math.cos(math.pi * min(1.0, left)),
    }
    return settings.learning_rate * warm * fall[settings.schedule]


class _Run:
    def __init__(self, settings: Settings, folder: RunFolder, accelerator: Any, dtype: Any) -> None:
        import torch
        from peft import LoraConfig

        self.settings, self.folder, self.accelerator = settings, folder, accelerator
        self.device = accelerator.device
        self._say("loading")
        cache = Path(settings.output) / "cache"
        with accelerator.main_process_first():
            place = locate(settings.base_model, cache)
            self.family = open_family(place, settings.revision, dtype)
        self.licence = licence_of(settings.base_model, settings.licence, place)
        self.pictures = Pictures(
            settings.dataset,
            resolution=settings.resolution,
            multiple=self.family.multiple,
            buckets=settings.buckets,
        )
        processes = accelerator.num_processes
        identity = {
            **settings.numbers(),
            "processes": processes,
            "dataset": self.pictures.sha256,
        }
        self.checkpoints = Checkpoints(settings.checkpoint_folder, identity, settings.keep_checkpoints)
        resumed = self.checkpoints.newest()
        self._encode(cache)
        sizes = [picture.size for picture in self.pictures.items]
        self.plan = Plan(sizes, settings.batch_size * processes, settings.seed)

        pipeline = self.family.pipeline
        self.denoiser = getattr(pipeline, self.family.denoiser)
        self.denoiser.requires_grad_(False)
        lora = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.lora_alpha,
            init_lora_weights="gaussian",
            target_modules=self.family.lora_targets(),
        )
        # The same first weights whatever chance was used for before.
        torch.manual_seed(settings.seed)
        self.denoiser.add_adapter(lora)
        self.denoiser.to(self.device)
        if settings.gradient_checkpointing:
            self.denoiser.enable_gradient_checkpointing()
        trained = [p for p in self.denoiser.parameters() if p.requires_grad]
        for parameter in trained:
            parameter.data = parameter.data.float()
        optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.model, self.optimizer = accelerator.prepare(self.denoiser, optimizer)
        self.trained = trained
        self.step = 0
        if resumed:
            self.step = resumed[0]
            self._restore(resumed[1])

    def go(self) -> str:
        self.folder.cut_metrics(self.step)
        if self.step == 0:
            self._look()
        begun, seen = time.monotonic(), 0
        while self.step < self.settings.steps:
            if self._asked_to_stop():
                self._checkpoint()
                return "stopped"
            loss = self._take_step()
            seen += (
                self.settings.batch_size
                * self.accelerator.num_processes
                * self.settings.gradient_accumulation
            )
            speed = seen / (time.monotonic() - begun)
            if self.accelerator.is_main_process:
                self.folder.metric(
                    step=self.step,
                    loss=round(loss, 6),
                    learning_rate=rate(self.settings, self.step - 1),
                    pictures_per_second=round(speed, 3),
                )
            self._say("training", loss=round(loss, 6), pictures_per_second=round(speed, 3))
            self._look()
        self._checkpoint()
        self._finish(loss=self._fixed_loss())
        return "completed"

    def _take_step(self) -> float:
        import torch

        settings, model, optimizer = self.settings, self.model, self.optimizer
        for group in optimizer.param_groups:
            group["lr"] = rate(settings, self.step)
        total = 0.0
        for part in range(settings.gradient_accumulation):
            chosen, dropped, generators, level = self._batch(
                self.step * settings.gradient_accumulation + part
            )
            batch = self.encoded.batch(chosen, dropped)
            latents = batch["latents"]
            with self.accelerator.accumulate(model), self.accelerator.autocast():
                noise = torch.stack(
                    [torch.randn(latents.shape[1:], generator=generator) for generator in generators]
                ).to(latents)
                loss = self.family.loss(model, batch, noise, level.to(self.device)).mean()
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.trained, settings.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
            total += float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        if not math.isfinite(total):
            raise FloatingPointError(
                f"the loss of step {self.step + 1} is not a number; take a smaller learning_rate, or bf16"
            )
        self.step += 1
        return total / settings.gradient_accumulation

    def _batch(self, number: int) -> tuple[list[Picture], list[bool], list[Any], Any]:
        """This process's share of a batch: all chance comes from the batch's number and the place in it."""
        import torch

        size = self.settings.batch_size
        first = self.accelerator.process_index * size
        chosen = self.plan.of(number)[first : first + size]
        generators, dropped, levels = [], [], []
        for place in range(first, first + size):
            chance = random.Random(f"{self.settings.seed}/{number}/{place}")
            generator = torch.Generator().manual_seed(chance.getrandbits(63))
            dropped.append(float(torch.rand((), generator=generator)) < self.settings.caption_dropout)
            level = torch.rand((), generator=generator)
            if self.settings.timesteps == "logit_normal":
                level = torch.sigmoid(torch.randn((), generator=generator))
            generators.append(generator)
            levels.append(level)
        return [self.pictures.items[i] for i in chosen], dropped, generators, torch.stack(levels)

    def _look(self) -> None:
        """What is done between steps, each as often as it is asked for."""
        settings, step = self.settings, self.step

        def due(every: int) -> bool:
            return every > 0 and (step % every == 0 or step == settings.steps)

        if due(settings.validate_every):
            loss = self._fixed_loss()
            if self.accelerator.is_main_process:
                self.folder.metric(step=step, fixed_loss=round(loss, 6))
        if due(settings.sample_every) and settings.sample_prompts and self.accelerator.is_main_process:
            self._sample()
        if step and due(settings.checkpoint_every):
            self._checkpoint()

    def _fixed_loss(self) -> float:
        """The loss on the same pictures with the same noise: what falls when the model learns."""
        import torch

        items = self.pictures.items
        chosen = items[:: max(1, len(items) // FIXED_PICTURES)][:FIXED_PICTURES]
        level = torch.tensor(FIXED_LEVELS, device=self.device)
        total = 0.0
        for number, picture in enumerate(chosen):
            batch = self.encoded.batch([picture] * len(FIXED_LEVELS), [False] * len(FIXED_LEVELS))
            generator = torch.Generator().manual_seed(number)
            noise = torch.randn(batch["latents"].shape, generator=generator).to(batch["latents"])
            with torch.no_grad(), self.accelerator.autocast():
                total += float(self.family.loss(self.model, batch, noise, level).mean())
        return total / len(chosen)

    def _encode(self, cache: Path) -> None:
        settings = self.settings
        self._say("encoding")
        self.encoded = Encoded(
            self.family,
            cache,
            f"{settings.base_model}@{settings.revision}",
            device=self.device,
            keep_latents=settings.cache_latents,
        )
        vae = self.family.pipeline.vae
        vae.requires_grad_(False).to(self.device)
        captions = [p.caption for p in self.pictures.items]
        with self.accelerator.main_process_first():
            self.encoded.texts(["", *captions, *settings.sample_prompts], settings.caption_tokens)
            self.encoded.pictures(self.pictures)

    def _sample(self) -> None:
        from .draw import pixels_of

        settings = self.settings
        target = self.folder.path / "samples" / f"step-{self.step:06}"
        target.mkdir(parents=True, exist_ok=True)
        side = settings.resolution // self.family.multiple * self.family.multiple
        empty = self.encoded.text("")
        for number, prompt in enumerate(settings.sample_prompts):
            with self.accelerator.autocast():
                image = pixels_of(
                    self.family.pipeline,
                    self.family.conditions(self.encoded.text(prompt), empty),
                    seed=settings.seed + number,
                    size=(side, side),
                    steps=settings.sample_steps,
                    guidance=settings.guidance,
                )
            image.save(target / f"{number:02}.png")
        write_whole(
            target / "prompts.json", json.dumps(settings.sample_prompts, ensure_ascii=False, indent=1)
        )

    def _checkpoint(self) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
        from peft import get_peft_model_state_dict

        scaler = self.accelerator.scaler
        state = {
            "lora": {k: v.detach().cpu() for k, v in get_peft_model_state_dict(self.denoiser).items()},
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
        }
        self.checkpoints.write(self.step, state, self._save_lora)

    def _restore(self, state: dict[str, Any]) -> None:
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(self.denoiser, state["lora"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def _save_lora(self, target: Path) -> None:
        from diffusers.training_utils import _collate_lora_metadata
        from peft import get_peft_model_state_dict

        name = self.family.denoiser
        metadata = _collate_lora_metadata({name: self.denoiser})
        for values in metadata.values():
            # It comes from a set, whose order is another in each process.
            values["target_modules"] = sorted(values["target_modules"])
        self.family.pipeline.save_lora_weights(
            target, **{f"{name}_lora_layers": get_peft_model_state_dict(self.denoiser)}, **metadata
        )
        order_metadata(target / WEIGHTS)

    def _finish(self, *, loss: float) -> None:
        if not self.accelerator.is_main_process:
            return
        dataset = {"pictures": len(self.pictures), "sha256 of captions and pictures": self.pictures.sha256}
        card = model_card(
            self.settings,
            licence=self.licence,
            family=type(self.family.pipeline).__name__,
            dataset=dataset,
            loss=loss,
        )
        self._save_lora(self.folder.path)
        write_whole(self.folder.path / "README.md", card)

    def _asked_to_stop(self) -> bool:
        import torch

        asked = torch.tensor(float(self.folder.asked_to_stop()), device=self.device)
        # All stop at the same step, whoever was asked.
        return float(self.accelerator.reduce(asked, reduction="sum")) > 0

    def _say(self, doing: str, **more: Any) -> None:
        if self.accelerator.is_main_process:
            step = getattr(self, "step", 0)
            self.folder.status("running", doing=doing, step=step, steps=self.settings.steps, **more)
