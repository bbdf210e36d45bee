"""Stable Diffusion XL: a diffusion U-Net with two CLIP text encoders."""

from __future__ import annotations

from typing import Any

from .family import Tensors


class StableDiffusionXL:
    """See `picchu.training.family.Family`."""

    denoiser = "unet"
    text_parts = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")

    def __init__(self, pipeline: Any) -> None:
        """Takes a ``StableDiffusionXLPipeline``."""
        from diffusers import DDPMScheduler

        self.pipeline = pipeline
        # The U-Net halves latents at each level but the last.
        self.multiple = pipeline.vae_scale_factor * 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
        self._noise = DDPMScheduler.from_config(pipeline.scheduler.config)

    def lora_targets(self) -> list[str]:
        """Attention and its outputs."""
        return ["to_k", "to_q", "to_v", "to_out.0"]

    def encode_text(self, caption: str, tokens: int) -> Tensors:
        """Hidden states and the pooled ones; both encoders read 77 tokens, whatever is asked."""
        states, _, pooled, _ = self.pipeline.encode_prompt(
            caption, device=self.pipeline.text_encoder.device, do_classifier_free_guidance=False
        )
        return {"text": states, "pooled": pooled}

    def encode_picture(self, pixels: Any) -> Any:
        """Scaled as the U-Net wants it. In full precision: the VAE of SDXL overflows in half."""
        import torch

        vae = self.pipeline.vae
        if vae.dtype != torch.float32:
            vae.to(torch.float32)
        return vae.encode(pixels.float()).latent_dist.mode() * vae.config.scaling_factor

    def loss(self, denoiser: Any, batch: Tensors, noise: Any, level: Any) -> Any:
        """Of the noise, or of the velocity, as the scheduler's configuration says."""
        latents = batch["latents"]
        count = self._noise.config.num_train_timesteps
        timestep = (level * count).long().clamp(0, count - 1)
        noisy = self._noise.add_noise(latents, noise, timestep)
        predicted = denoiser(
            noisy,
            timestep,
            batch["text"],
            added_cond_kwargs={"text_embeds": batch["pooled"], "time_ids": batch["geometry"].to(latents)},
            return_dict=False,
        )[0]
        velocity = self._noise.config.prediction_type == "v_prediction"
        wanted = self._noise.get_velocity(latents, noise, timestep) if velocity else noise
        return (predicted.float() - wanted.float()).square().flatten(1).mean(1)

    def conditions(self, text: Tensors, empty: Tensors) -> dict[str, Any]:
        """Both kinds of states in place of prompts."""
        return {
            "prompt_embeds": text["text"],
            "pooled_prompt_embeds": text["pooled"],
            "negative_prompt_embeds": empty["text"],
            "negative_pooled_prompt_embeds": empty["pooled"],
        }
