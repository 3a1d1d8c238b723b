"""The same network at half the products, for CPUs: see `layout` for the formulas.

Equivariance ties one half of every weight to the other, and the dense network multiplies with both.
Here the hidden channels are kept as half sums and half differences of a channel and its mirror
image, in which an equivariant weight is two blocks of half the size. All of a pass is compiled:
products, norms and GELU work on one window while it lies in the cache.

`layout` says where everything lies, `weights` turns stored weights into blocks and gradients back,
`products` and `activation` are the arithmetic, `passes` a window forward and backward, `function`
what torch sees of it in training, `frozen` the network that is used and no longer trained.
`ByteNet` with dense products stays the definition: the tests hold this to it.
"""

from phylotools.model.halved.frozen import FrozenHalves
from phylotools.model.halved.function import halved_theta, suits

__all__ = ["FrozenHalves", "halved_theta", "suits"]
