"""FLUX.2 klein: a flow-matching transformer whose text encoder is a Qwen3."""

from __future__ import annotations

from typing import Any

from .family import Tensors


class Flux2Klein:
    """See `picchu.training.family.Family`."""

    denoiser = "transformer"
    text_parts = ("text_encoder", "tokenizer")

    def __init__(self, pipeline: Any) -> None:
        """Takes a ``Flux2KleinPipeline``."""
        self.pipeline = pipeline
        # Latents are packed two by two.
        self.multiple = pipeline.vae_scale_factor * 2
        self._schedule = (pipeline.scheduler.timesteps.clone(), pipeline.scheduler.sigmas.clone())

    def lora_targets(self) -> list[str]:
        """Attention and its outputs, in both kinds of blocks."""
        single = range(self.pipeline.transformer.config.num_single_layers)
        return [
            *("to_k", "to_q", "to_v", "to_out.0", "to_qkv_mlp_proj"),
            *(f"single_transformer_blocks.{i}.attn.to_out" for i in single),
        ]

    def encode_text(self, caption: str, tokens: int) -> Tensors:
        """Hidden states of the caption."""
        states, _ = self.pipeline.encode_prompt(caption, max_sequence_length=tokens)
        return {"text": states}

    def encode_picture(self, pixels: Any) -> Any:
        """Packed and normalised as the pipeline undoes it before it decodes."""
        import torch

        vae = self.pipeline.vae
        latents = self.pipeline._patchify_latents(vae.encode(pixels.to(vae.dtype)).latent_dist.mode())
        mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents)
        std = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).to(latents)
        return (latents - mean) / std

    def loss(self, denoiser: Any, batch: Tensors, noise: Any, level: Any) -> Any:
        """Of the velocity from the picture to noise."""
        latents, text = batch["latents"], batch["text"]
        timesteps, sigmas = (t.to(latents.device) for t in self._schedule)
        index = ((1 - level) * len(timesteps)).long().clamp(0, len(timesteps) - 1)
        timestep, sigma = timesteps[index], sigmas[index].view(-1, 1, 1, 1).to(latents)
        noisy = (1 - sigma) * latents + sigma * noise
        velocity = denoiser(
            hidden_states=self.pipeline._pack_latents(noisy),
            timestep=timestep / 1000,
            guidance=None,
            encoder_hidden_states=text,
            txt_ids=self.pipeline._prepare_text_ids(text).to(latents.device),
            img_ids=self.pipeline._prepare_latent_ids(latents).to(latents.device),
            return_dict=False,
        )[0]
        wanted = self.pipeline._pack_latents(noise - latents)
        return (velocity.float() - wanted.float()).square().flatten(1).mean(1)

    def conditions(self, text: Tensors, empty: Tensors) -> dict[str, Any]:
        """Hidden states in place of prompts."""
        return {"prompt_embeds": text["text"], "negative_prompt_embeds": empty["text"]}
