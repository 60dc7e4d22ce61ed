"""Which torch function has which rule, by the name that function, method and operator share."""

from collections.abc import Callable, Mapping
from typing import Any

from attrkit.relevance.torch import attention, elementwise, kernels, recurrent
from attrkit.relevance.torch.names import words
from attrkit.relevance.torch.seen import Seen

REARRANGING = words(
    "view reshape view_as reshape_as flatten unflatten ravel transpose swapaxes swapdims permute t .T .mT movedim "
    "moveaxis squeeze unsqueeze expand expand_as broadcast_to repeat repeat_interleave tile flip fliplr flipud "
    "roll getitem select narrow index_select gather take_along_dim unbind split split_with_sizes chunk tensor_split "
    "unsafe_chunk unsafe_split hsplit vsplit dsplit unfold diagonal atleast_1d atleast_2d atleast_3d "
    "cat stack hstack vstack dstack column_stack broadcast_tensors _pack_padded_sequence _pad_packed_sequence "
    "masked_select contiguous clone"
)

# Linear or homogeneous, or only routing (Bach et al. 2015, eq. 56).
STRUCTURAL = REARRANGING | words(
    "to type type_as float double half bfloat16 cpu cuda alias detach_ requires_grad_ copy_ zero_ fill_ as_tensor "
    "add sub __rsub__ neg positive sum mean nansum nanmean cumsum diff relu max amax min amin maximum minimum "
    "fmax fmin sort msort topk median kthvalue where masked_fill tril triu setitem index_add scatter scatter_add "
    "index_copy "
    "dropout alpha_dropout feature_dropout feature_alpha_dropout dropout1d dropout2d dropout3d native_dropout "
    "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices "
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d "
    "avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d pad constant_pad_nd interpolate "
    "upsample pixel_shuffle pixel_unshuffle channel_shuffle"
)

_ACTIVATIONS = words(
    "tanh gelu elu celu selu silu mish leaky_relu prelu rrelu softplus hardtanh hardswish relu6 softsign tanhshrink "
    "softshrink hardshrink threshold logsigmoid clamp clamp_min clamp_max abs square erf normalize"
)

RULES: Mapping[str, Callable[[Seen], Any]] = {
    **dict.fromkeys(_ACTIVATIONS, elementwise.activation),
    **dict.fromkeys(("sigmoid", "hardsigmoid"), elementwise.gate),
    **dict.fromkeys(("sqrt", "rsqrt", "std", "var", "norm", "linalg_vector_norm", "vector_norm"), elementwise.spread),
    "pow": elementwise.power,
    "reciprocal": kernels.reverse_divide,
    "softmax": elementwise.softmax,
    "log_softmax": elementwise.log_softmax,
    **dict.fromkeys(
        words("add sub __rsub__ cat stack hstack vstack dstack column_stack where masked_fill"), elementwise.added
    ),
    "setitem": elementwise.written,
    **dict.fromkeys(("maximum", "minimum"), elementwise.extreme),
    "layer_norm": elementwise.layer_norm,
    "rms_norm": elementwise.rms_norm,
    "group_norm": elementwise.group_norm,
    "instance_norm": elementwise.instance_norm,
    "batch_norm": elementwise.batch_norm,
    "linear": kernels.linear,
    **dict.fromkeys((f"conv{at}{n}d" for n in (1, 2, 3) for at in ("", "_transpose")), kernels.convolution),
    **dict.fromkeys(("matmul", "__rmatmul__"), kernels.matmul),
    **dict.fromkeys(("addmm", "baddbmm"), kernels.add_matmul),
    "einsum": kernels.einsum,
    "tensordot": kernels.tensordot,
    "glu": kernels.gated,
    "mul": kernels.multiply,
    "div": kernels.divide,
    "__rdiv__": kernels.reverse_divide,
    "scaled_dot_product_attention": attention.scaled_dot_product,
    "multi_head_attention_forward": attention.multi_head,
    "lstm": recurrent.lstm,
    "gru": recurrent.gru,
    **dict.fromkeys(("rnn_tanh", "rnn_relu"), recurrent.rnn),
    "lstm_cell": recurrent.lstm_cell,
    "gru_cell": recurrent.gru_cell,
    **dict.fromkeys(("rnn_tanh_cell", "rnn_relu_cell"), recurrent.rnn_cell),
}
