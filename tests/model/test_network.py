from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from phylotools.errors import InputError, UsageError
from phylotools.model.network import ByteNet
from phylotools.model.presets import PRESETS, VOCABULARY, ModelSpec

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ModelSpec(channels=12, bottleneck=6, kernel_size=5, dilations=(1, 3, 2))
COMPLEMENT = torch.tensor([3, 2, 1, 0, 4, 5])


def random_network(spec: ModelSpec = SMALL, seed: int = 0) -> ByteNet:
    """Every parameter random: norm scales and shifts too, nothing symmetric."""
    torch.manual_seed(seed)
    network = ByteNet(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return network.eval()


def random_tokens(batch: int, positions: int, spec: ModelSpec = SMALL, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 6, (batch, positions + spec.receptive_field - 1), generator=generator)


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("frozen", [False, True])
def test_reverse_complement_equivariance(device, norm, frozen):
    spec = ModelSpec(12, 6, 5, (1, 3, 2), norm=norm)
    network = random_network(spec).to(device)
    if frozen:
        network.freeze()
    tokens = random_tokens(3, 20).to(device)
    with torch.no_grad():
        forward, backward = network(tokens), network(COMPLEMENT.to(device)[tokens].flip(1))
        embedded = network.embed(tokens)
        embedded_back = network.embed(COMPLEMENT.to(device)[tokens].flip(1))
    assert forward.shape == (3, 20, 4)
    assert forward.std() > 0.05
    torch.testing.assert_close(backward.flip(1, 2), forward, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(embedded_back.flip(1, 2), embedded, rtol=1e-4, atol=1e-5)


def test_untied_norms_lose_equivariance():
    """Shows that the test above can fail, and why norms are tied."""
    network = random_network(ModelSpec(12, 6, 5, (1, 3, 2), tied_norm=False))
    tokens = random_tokens(2, 10)
    with torch.no_grad():
        difference = network(COMPLEMENT[tokens].flip(1)).flip(1, 2) - network(tokens)
    assert difference.abs().max() > 1e-2


def test_equivariance_survives_training():
    network = random_network().train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.05)
    tokens = random_tokens(2, 16)
    for _ in range(3):
        optimiser.zero_grad()
        (network(tokens) * torch.linspace(-1, 2, 4)).square().mean().backward()
        optimiser.step()
    with torch.no_grad():
        torch.testing.assert_close(
            network(COMPLEMENT[tokens].flip(1)).flip(1, 2), network(tokens), rtol=1e-4, atol=1e-5
        )


def test_scores_do_not_depend_on_tile_or_batch(device):
    network = random_network().to(device).freeze()
    reach = SMALL.receptive_field - 1
    tokens = random_tokens(4, 50).to(device)
    whole = network(tokens)
    for row in range(4):
        torch.testing.assert_close(network(tokens[row : row + 1])[0], whole[row])
    for tile in (1, 7, 25):
        pieces = [
            network(tokens[:, start : min(start + tile, 50) + reach])
            for start in range(0, 50, tile)
        ]
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole)


def test_group_norm_depends_on_the_window():
    """What the published first generation does, and the others must not."""
    network = random_network(ModelSpec(12, 6, 5, (1, 3, 2), norm="group")).freeze()
    tokens = random_tokens(1, 50)
    short = network(tokens[:, :-10])
    assert (network(tokens)[:, :40] - short).abs().max() > 1e-4


@pytest.mark.parametrize("spec", [SMALL, ModelSpec(8, 4, 3, (1,)), ModelSpec(8, 4, 7, (2, 1))])
def test_receptive_field_is_exact(spec):
    network = random_network(spec).freeze()
    half, positions = spec.receptive_field // 2, 41
    tokens = random_tokens(1, positions, spec, seed=3) % 4
    base = network(tokens)[0]
    for changed in (half, half + 20, positions + half - 1):
        other = tokens.clone()
        other[0, changed] = (other[0, changed] + 1) % 4
        moved = (network(other)[0] != base).any(dim=1)
        centre = changed - half
        inside = torch.arange(positions).sub(centre).abs() <= half
        assert not moved[~inside].any()
        assert moved[centre]
        for edge in (centre - half, centre + half):
            if 0 <= edge < positions:
                assert moved[edge], "the edge of the receptive field has no influence"


def test_one_window_gives_one_position():
    network = random_network().freeze()
    assert network(random_tokens(2, 1)).shape == (2, 1, 4)


def test_freeze_changes_nothing():
    tokens = random_tokens(2, 9)
    network = random_network()
    with torch.no_grad():
        before = network(tokens)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.freeze()
    assert torch.equal(network.dense(tokens), before)
    # Other sums of the same products.
    torch.testing.assert_close(network(tokens), before, rtol=0, atol=2e-6)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in state.items())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_new_networks_start_near_the_neutral_site():
    torch.manual_seed(0)
    theta = ByteNet(PRESETS["tiny"])(random_tokens(2, 30, PRESETS["tiny"]))
    assert (theta - np.log(1 / 3)).abs().max() < 1.5


def test_taps_are_narrow_where_products_are(monkeypatch):
    """They are the most bytes of a pass; what is multiplied is the same."""
    network, tokens = random_network(), random_tokens(2, 9)
    seen, join = [], torch.cat

    def cat(taps, dim):
        seen.append(taps[0].dtype)
        return join([tap.float() for tap in taps], dim=dim)

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        narrow = network.dense(tokens)
        monkeypatch.setattr(torch, "cat", cat)
        wide = network.dense(tokens)
    assert torch.equal(narrow, wide)
    assert seen == [torch.bfloat16] * len(SMALL.dilations)


# presets


@pytest.mark.parametrize("name", PRESETS)
def test_parameter_counts(name):
    with torch.device("meta"):
        network = ByteNet(PRESETS[name])
    assert sum(p.numel() for p in network.parameters()) == PRESETS[name].n_parameters
    assert set(network.state_dict()) == {key for key, _ in network.named_parameters()}


@pytest.mark.parametrize("name", PRESETS)
def test_every_base_of_the_receptive_field_is_read(name):
    """No dilation steps over bases that the blocks before it left unread."""
    spec = PRESETS[name]
    is_read = np.ones(1, dtype=bool)
    for dilation in spec.dilations:
        taps = np.zeros((spec.kernel_size - 1) * dilation + 1, dtype=int)
        taps[::dilation] = 1
        is_read = np.convolve(is_read.astype(int), taps) > 0
    assert len(is_read) == spec.receptive_field
    assert is_read.all()


def test_the_shapes_that_the_documentation_states():
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    for name, spec in PRESETS.items():
        row = (spec.channels, len(spec.dilations), spec.receptive_field, spec.n_parameters)
        assert f"| `{name}` | " + " | ".join(f"{n:,}" for n in row) + " |" in text


def test_the_published_architecture():
    spec = PRESETS["phylogpn"]
    assert spec.n_parameters == 83_185_924
    assert spec.receptive_field == 481
    assert VOCABULARY == "ACGTN-"


def test_what_is_public_of_phylogpn2():
    spec = PRESETS["phylogpn2"]
    assert spec.receptive_field == 1549
    network = random_network(spec).freeze()
    tokens = random_tokens(1, 3, spec) % 4
    assert network(tokens).shape == (1, tokens.shape[1] - 1548, 4)
    assert network.embed(tokens).shape == (1, 3, 256)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 7}, {"channels": 0}, {"channels": -2}, {"bottleneck": 3}, {"kernel_size": 4},
        {"kernel_size": 0}, {"dilations": ()}, {"dilations": (1, 0)}, {"dilations": (10**12,)},
        {"norm": "batch"},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_specs(changes):
    with pytest.raises(UsageError):
        ModelSpec(**{"channels": 8, "bottleneck": 4} | changes)


@pytest.mark.parametrize(
    "values",
    [
        {}, {"channels": 8}, {"channels": 8.0, "bottleneck": 4},
        {"channels": True, "bottleneck": 4},
        {"channels": 8, "bottleneck": 4, "depth": 3}, {"channels": 8, "bottleneck": 4, "norm": 1},
        {"channels": 8, "bottleneck": 4, "dilations": [1, "2"]},
        {"channels": 8, "bottleneck": 4, "dilations": []},
        {"channels": 7, "bottleneck": 4}, {"channels": 8, "bottleneck": 4, "dilations": [10**12]},
    ],
    ids=str,
)  # fmt: skip
def test_specs_from_a_bad_file_name_the_file(values):
    with pytest.raises(InputError, match=r"^config\.toml: "):
        ModelSpec.from_dict(values, path="config.toml")


@pytest.mark.parametrize("spec", [*PRESETS.values(), ModelSpec(8, 4, 3, (1,), "group", False)])
def test_spec_round_trip(spec):
    assert ModelSpec.from_dict(spec.to_dict()) == spec


# the authors' own numbers


def our_names(tensors: dict[str, torch.Tensor], blocks: int) -> dict[str, torch.Tensor]:
    """Rename the tensors of either published layout; the test of import belongs elsewhere."""
    parts = ("norm_in", "conv_in", "norm_mid", "conv_mid", "norm_out", "conv_out")
    layer_style = any("layer_norm1" in name for name in tensors)
    if layer_style:
        theirs = ("layer_norm1", "conv1", "layer_norm2", "conv2", "layer_norm3", "conv3")
    else:
        theirs = tuple(f"layers.{index}" for index in (0, 2, 3, 5, 6, 8))
    renamed = {}
    for name, tensor in tensors.items():
        new = name.removeprefix("_model.").replace("parametrizations.", "").replace(".original", "")
        for block in range(blocks):
            for own, their in zip(parts, theirs, strict=True):
                new = new.replace(f"blocks.{block}.{their}.", f"blocks.{block}.{own}.")
        renamed[new] = tensor
    return renamed


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_published_layouts_give_the_authors_log_rates(data, norm):
    folder = data / "published_layouts"
    expected = json.loads((folder / "expected.json").read_text())
    config = expected["config"]
    dilations = tuple(
        config["kernel_size"] ** power
        for _ in range(config["num_stacks"])
        for power in range(config["stack_size"])
    )
    spec = ModelSpec(
        config["outer_dim"], config["inner_dim"], config["kernel_size"], dilations,
        norm=norm, tied_norm=False,
    )  # fmt: skip
    assert spec.receptive_field == expected["receptive_field"]
    network = ByteNet(spec)
    tensors = safetensors.torch.load_file(folder / f"huggingface_{norm}norm" / "model.safetensors")
    renamed = our_names(tensors, len(dilations))
    heads = {"output_layers.0": "norm", "output_layers.2": "output"}
    heads |= {"output_layer_norm": "norm", "output_conv": "output"}
    for theirs, ours in heads.items():
        renamed = {name.replace(theirs + ".", ours + "."): t for name, t in renamed.items()}
    network.load_state_dict(renamed)
    network.freeze()
    for sequence, wanted in zip(expected["sequences"], expected["layouts"][norm], strict=True):
        tokens = torch.tensor([[VOCABULARY.index(base) for base in sequence]])
        np.testing.assert_allclose(network(tokens)[0], wanted["log_rates"], atol=1e-5)
        embedded = network.embed(tokens)[0, :, :8]
        np.testing.assert_allclose(embedded, wanted["embedding_first_8"], atol=1e-5)
