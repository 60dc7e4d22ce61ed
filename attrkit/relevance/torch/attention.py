"""Attention written out, for the functions that compute all of it at once.

Held: weights are constants, and the values carry all relevance (Ali et al. 2022, arXiv:2202.07304, section 3.1).
Shared: half of it goes through the weights, and of that half to queries and half to keys (Achtibat et al. 2024,
arXiv:2402.05602, Propositions 3.1 to 3.3).
"""

import math
from typing import Any

from attrkit.relevance.rules import Kernel
from attrkit.relevance.torch.flow import Record, Samples, TorchFlow, moved
from attrkit.relevance.torch.kernels import by_kernel
from attrkit.relevance.torch.seen import Seen


def scaled_dot_product(seen: Seen) -> Any:
    """``F.scaled_dot_product_attention``."""
    import torch

    names = "query key value attn_mask dropout_p is_causal scale enable_gqa"
    query, key, value, mask, dropout, is_causal, scale, is_grouped = seen.take(names)
    if dropout:
        seen.refuse("with dropout")
    place = next((seen.of(t).samples for t in (value, query, key) if seen.is_live(t)), None)
    query, key, value = (t if seen.is_live(t) else t.detach() for t in (query, key, value))
    if is_grouped:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    if is_causal:
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, -math.inf)
    elif mask is not None:
        mask = mask.detach()
    output, _ = _attend(seen, query, key, value, mask, place, scale=scale, out_of_reach=0.0)
    if not output.requires_grad:
        return output
    seen.samples = place
    return output


def _attend(
    seen: Seen,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    place: Samples | None,
    *,
    scale: float | None = None,
    out_of_reach: float | None = None,
) -> tuple[Any, Any]:
    """Return the weighted values and the weights, of tensors (..., step, dim) and a mask that is added.

    Queries that reach no key get weights `out_of_reach`, or NaN, as torch has it.
    """
    import torch

    flow = seen.flow.placed(place)
    seen.run.has_softmax = True
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if flow.attention == "held":
        scores = torch.matmul(query.detach() * scale, key.detach().transpose(-1, -2))
    else:
        query, key = _shared(flow, query, key)
        scores = flow.node(torch.matmul(query * scale, key.transpose(-1, -2)))
    scores = scores if mask is None else scores + mask
    weights = torch.softmax(scores, -1)
    if mask is not None and out_of_reach is not None:
        weights = torch.where((scores == -math.inf).all(-1, keepdim=True), out_of_reach, weights)
    if flow.attention == "held":
        weights = weights.detach()
        return flow.node(torch.matmul(weights, value)), weights
    return flow.node(torch.matmul(*_shared(flow, weights, value))), weights


def _shared(flow: TorchFlow, left: Any, right: Any) -> tuple[Any, Any]:
    """Return two factors with half of the relevance each; all of it, where the other is a constant."""
    if left.requires_grad and right.requires_grad:
        return flow.share(left, 0.5), flow.share(right, 0.5)
    return left, right


def multi_head(seen: Seen) -> Any:
    """``F.multi_head_attention_forward``, which ``nn.MultiheadAttention`` calls with timesteps first."""
    import torch

    names = (
        "query key value embed_dim_to_check num_heads in_proj_weight in_proj_bias bias_k bias_v add_zero_attn "
        "dropout_p out_proj_weight out_proj_bias training key_padding_mask need_weights attn_mask "
        "use_separate_proj_weight q_proj_weight k_proj_weight v_proj_weight static_k static_v average_attn_weights"
    )
    given = dict(zip(names.split(), seen.take(names), strict=True))
    for name in ("bias_k", "static_k"):
        if given[name] is not None:
            seen.refuse(f"with {name}")
    if given["add_zero_attn"] or (given["training"] and given["dropout_p"]):
        seen.refuse("with add_zero_attn" if given["add_zero_attn"] else "with dropout")
    heads, whole = given["num_heads"], given["in_proj_weight"]
    weights = (
        tuple(given[f"{letter}_proj_weight"] for letter in "qkv")
        if given["use_separate_proj_weight"]
        else whole.chunk(3)
    )
    biases = [None] * 3 if given["in_proj_bias"] is None else given["in_proj_bias"].detach().chunk(3)
    single = given["query"].ndim == 2
    projected, places = [], []
    for name, weight, bias, is_held in zip(
        ("query", "key", "value"), weights, biases, (True, True, False), strict=True
    ):
        x = given[name]
        live = seen.is_live(x)
        places.append(seen.of(x).samples if live else None)
        if live and not (is_held and seen.flow.attention == "held"):
            z = by_kernel(seen, x, Kernel(torch.nn.functional.linear, weight.detach(), bias), place=places[-1])
        else:
            z = torch.nn.functional.linear(x.detach(), weight.detach(), bias)
        z = z.unsqueeze(1) if single else z
        # (step, sample, heads * dim) to (sample, head, step, dim).
        projected.append(z.reshape(*z.shape[:2], heads, -1).permute(1, 2, 0, 3))
    seen.fused = None
    query, key, value = projected
    mask = _mask(given, query, key)
    need = given["need_weights"] is not False
    place = next((p for p in reversed(places) if p is not None), None)
    output, found = _attend(seen, query, key, value, mask, moved(place, -4), out_of_reach=None if need else 0.0)
    output = output.permute(2, 0, 1, 3).flatten(2)
    output = output.squeeze(1) if single else output
    bias = None if given["out_proj_bias"] is None else given["out_proj_bias"].detach()
    layer = Kernel(torch.nn.functional.linear, given["out_proj_weight"].detach(), bias)
    seen.samples = place
    if output.requires_grad:
        rule = seen.run.given_rule() or seen.run.composite.kernel
        output = rule.modified(seen.flow.placed(place), layer, output)
    else:
        output = layer.output(output)[0]
    if not need:
        return output, None
    if given["average_attn_weights"] is not False:
        found = found.mean(1)
    found = found.squeeze(0) if single else found
    if found.requires_grad:
        seen.run.note(found, Record(moved(place, -found.ndim), "softmax", "attention"))
    return output, found


def _mask(given: dict[str, Any], query: Any, key: Any) -> Any:
    """Return both masks as one that is added to scores (sample, head, query, key)."""
    import torch

    def added(mask: Any) -> Any:
        if mask.dtype == torch.bool:
            return torch.zeros_like(mask, dtype=query.dtype).masked_fill(mask, -math.inf)
        return mask.detach().to(query.dtype)

    mask, padding = given["attn_mask"], given["key_padding_mask"]
    total = None
    if mask is not None:
        total = added(mask)
        if total.ndim == 3:
            total = total.reshape(query.shape[0], query.shape[1], *total.shape[-2:])
    if padding is not None:
        padding = added(padding).reshape(key.shape[0], 1, 1, key.shape[-2])
        total = padding if total is None else total + padding
    return total
