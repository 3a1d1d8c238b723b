"""The same network at half the products, for inference on a GPU.

Torch multiplies, Triton does the rest.

The basis is that of `model/halved/layout`: half sums s and half differences a of a channel and its
mirror image, two planes of an array, in which an equivariant weight is two blocks of half the size.
Products of both planes are one call of the vendor's library; what lies between two products - the
last one's bias, the residual, norm, GELU, sums and differences - is one pass over memory.

`network` says where it runs and in which type; `weights` turns a network's weights into blocks,
`kernels` is what Triton compiles, `steps` launches it, `passes` walks through the network.
`ByteNet.dense` stays the definition.

Why there is no `torch.compile`: what it would fuse is fused here, it knows nothing of the halved
basis, and it compiles for a minute what CUDA graphs (`scoring/gpu`) replay at no cost.
"""

from phylotools.model.fused.network import FusedNetwork, suits

__all__ = ["FusedNetwork", "suits"]
