"""One call of `generate` of each system, behind one door."""

import torch

from peers.training import config_of


def draw_model(sizes):
    """A Llama of `transformers` with weights wide enough not to repeat."""
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**config_of(sizes))
    )
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.05)
    return model.eval()


def hf_call(spec, sizes, model, ids):
    """`transformers`' generate, its forward compiled if `way` says so."""
    model.set_attn_implementation(spec.get("attention", "sdpa"))
    if spec["precision"] == "bf16":
        model.bfloat16()
    options = {"max_new_tokens": sizes["new"], "do_sample": False}
    way = spec.get("way", "dynamic")
    if way != "dynamic":
        options["cache_implementation"] = "static"
    if "compiled" in way:
        import torch._inductor.config as inductor

        inductor.freezing = "frozen" in way
        inductor.cpp_wrapper = "wrapped" in way
        model.forward = torch.compile(model.forward, dynamic=False)
    mask = torch.ones_like(ids)

    @torch.no_grad()
    def call():
        return model.generate(
            ids,
            attention_mask=mask,
            pad_token_id=0,
            eos_token_id=None,
            **options,
        )

    return call


def our_call(spec, sizes, source, ids):
    """The book's `generate`, or its compiled decoder."""
    from llm_from_scratch.infer.compiled import CompiledDecoder
    from llm_from_scratch.infer.generation import generate
    from llm_from_scratch.model.config import ModelConfig
    from llm_from_scratch.model.transformer import TransformerLM

    model = TransformerLM(ModelConfig(**config_of(sizes)))
    model.load_state_dict(source.state_dict(), strict=False)
    dtype = torch.bfloat16 if spec["precision"] == "bf16" else torch.float32
    if spec.get("way") == "compiled":
        room = ids.shape[1] + sizes["new"]
        decoder = CompiledDecoder(model, len(ids), room, dtype=dtype)
        return lambda: decoder.generate(ids, sizes["new"])
    model.to(dtype)
    return lambda: generate(model, ids, sizes["new"])


class Generation:
    """A model, prompts, and one call that continues them all."""

    def __init__(self, spec, sizes, device="cpu"):
        model = draw_model(sizes).to(device)
        draw = torch.Generator().manual_seed(1)
        shape = (spec["batch"], sizes["prompt"])
        ids = torch.randint(sizes["vocab"], shape, generator=draw).to(device)
        make = our_call if spec["system"] == "ours" else hf_call
        self.call = make(spec, sizes, model, ids)
        self.device = torch.device(device)

    def step(self):
        return self.call()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()
