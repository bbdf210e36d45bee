"""Small models with random weights, the same at every call: to try the whole way without a download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .failures import BadInputError

# What a file may set, with the values that NAME alone stands for.
DEFAULTS: dict[str, Any] = {"family": "flux2-klein", "heads": 2, "layers": 2, "latent_channels": 4, "seed": 0}


def make(what: str) -> Any:
    """A pipeline of random weights.

    Args:
        what: ``flux2-klein``, ``sdxl``, or a JSON file with ``family``, ``heads``, ``layers``,
            ``latent_channels`` and ``seed``.

    Raises:
        BadInputError: For a name that is not known or a file that is not understood.
    """
    import torch

    sizes = dict(DEFAULTS)
    if what.endswith(".json"):
        try:
            sizes |= json.loads(Path(what).read_text("utf-8"))
        except (OSError, ValueError, TypeError) as e:
            raise BadInputError(f"{what}: cannot be read as sizes of a model: {e}") from e
    else:
        sizes["family"] = what
    makers = {"flux2-klein": _flux2, "sdxl": _sdxl}
    numbers = all(isinstance(sizes[k], int) and 0 <= sizes[k] <= 4096 for k in DEFAULTS if k != "family")
    if sizes.keys() != DEFAULTS.keys() or sizes["family"] not in makers or not numbers:
        raise BadInputError(
            f"random:{what}: there are {', '.join(makers)}, or a file with {', '.join(DEFAULTS)}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sizes["seed"])
        pipeline = makers[sizes["family"]](sizes)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return pipeline


def _letters() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def _flux2(sizes: dict[str, Any]) -> Any:
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

    # The pipeline takes the states of layers 9, 18 and 27.
    hidden, depth = 16, 28
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: index for index, token in enumerate(specials + _letters())}
    tokenizer = Qwen2TokenizerFast(vocab=vocabulary, merges=[], extra_special_tokens=specials[1:])
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(vocabulary),
            hidden_size=hidden,
            intermediate_size=hidden,
            num_hidden_layers=depth,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=512,
        )
    )
    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=sizes["latent_channels"] * 4,
        num_layers=sizes["layers"],
        num_single_layers=sizes["layers"],
        attention_head_dim=16,
        num_attention_heads=sizes["heads"],
        joint_attention_dim=3 * hidden,
        timestep_guidance_channels=64,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=sizes["latent_channels"],
        norm_num_groups=4,
    )
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    )


def _sdxl(sizes: dict[str, Any]) -> Any:
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    letters = _letters()
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    vocabulary = {token: index for index, token in enumerate(tokens)}

    def tokenizer() -> Any:
        return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)

    width = 16 * sizes["heads"]
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        bos_token_id=0,
        eos_token_id=1,
    )
    unet = UNet2DConditionModel(
        in_channels=sizes["latent_channels"],
        out_channels=sizes["latent_channels"],
        block_out_channels=(width, 2 * width),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(sizes["heads"], 2 * sizes["heads"]),
        transformer_layers_per_block=(1, sizes["layers"]),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
        cross_attention_dim=32,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=sizes["latent_channels"],
        norm_num_groups=4,
    )
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(config),
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        add_watermarker=False,
    )
