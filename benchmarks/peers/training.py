"""One training step of each system, behind one door.

A worker process builds one system in one setting and then makes a step each
time it is told to, so that settings can take turns and no two share flags,
caches or memory.
"""

import contextlib

import torch
import torch.nn.functional as F

from peers.nanogpt import GPT


def config_of(sizes):
    return {
        "vocab_size": sizes["vocab"],
        "hidden_size": sizes["width"],
        "intermediate_size": sizes["hidden"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["heads"],
        "head_dim": sizes["width"] // sizes["heads"],
        "max_position_embeddings": sizes["context"],
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
    }


def our_model(sizes):
    """The book's model; the same weights whenever it is made."""
    from llm_from_scratch.model.config import ModelConfig
    from llm_from_scratch.model.transformer import TransformerLM

    draw = torch.Generator().manual_seed(0)
    return TransformerLM(ModelConfig(**config_of(sizes)), generator=draw)


def our_loss(spec, sizes):
    """The book's model; `head` and `attention` can be put back to plain."""
    from llm_from_scratch.model import attention
    from llm_from_scratch.model.head import linear_cross_entropy

    if spec.get("attention") == "fused":
        attention.PLAIN_MAX_KEYS = 0
    model = our_model(sizes)
    chunk = {"chunk_size": spec["chunk"]} if "chunk" in spec else {}

    def chunked(x, y):
        hidden = model.hidden_states(x)
        return linear_cross_entropy(hidden, model.lm_head.weight, y, **chunk)

    def plain(x, y):
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten())

    return model, plain if spec.get("head") == "plain" else chunked


def hf_loss(spec, sizes):
    """`transformers`, with the loss that it computes itself."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = transformers.LlamaConfig(
        **config_of(sizes), attn_implementation=spec.get("attention", "sdpa")
    )
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(our_model(sizes).state_dict(), strict=False)

    def loss(x, y):
        # shift_labels: y is shifted already, as ours is.
        return model(
            input_ids=x, labels=y, shift_labels=y, use_cache=False
        ).loss

    return model, loss


def nanogpt_loss(spec, sizes):
    model = GPT(
        sizes["vocab"],
        sizes["context"],
        sizes["width"],
        sizes["layers"],
        sizes["heads"],
    )
    return model, model


LOSS = {"ours": our_loss, "hf": hf_loss, "nanogpt": nanogpt_loss}


class Training:
    """A model, an optimizer, and one step a call."""

    def __init__(self, spec, sizes, device="cpu"):
        torch.manual_seed(0)
        if spec["precision"] == "medium":
            torch.set_float32_matmul_precision("medium")
        self.device = torch.device(device)
        model, loss = LOSS[spec["system"]](spec, sizes)
        model.to(self.device)
        if spec["precision"] == "bf16 weights":
            model.bfloat16()
        if spec.get("compile"):
            mode = None if spec["compile"] is True else spec["compile"]
            loss = torch.compile(loss, mode=mode)
        self.model, self.loss = model, loss
        self.autocast = spec["precision"] == "bf16"
        how = spec.get("adamw", "fused")
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=3e-4,
            fused=how == "fused",
            foreach=how == "foreach",
        )
        draw = torch.Generator().manual_seed(1)
        shape = (8, sizes["batch"], sizes["context"] + 1)
        ids = torch.randint(sizes["vocab"], shape, generator=draw)
        ids = ids.to(self.device)
        self.x, self.y = ids[..., :-1].contiguous(), ids[..., 1:].contiguous()
        self.at = 0

    def step(self):
        i = self.at % len(self.x)
        self.at += 1
        with (
            torch.autocast(self.device.type, torch.bfloat16)
            if self.autocast
            else contextlib.nullcontext()
        ):
            loss = self.loss(self.x[i], self.y[i])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()
