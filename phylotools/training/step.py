"""One step of training: the gradients of a batch's parts, summed, clipped and followed.

A part is the unit of accumulation and of sharing out: a worker computes the gradients of its own
parts one after the other. On CPUs they are summed in the order of the parts, whoever computed them,
so that the weights are the same bits with any number of workers; on GPUs each worker sums its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from phylotools.model.site_model import SiteModel
from phylotools.training.batch import Batch
from phylotools.training.config import TrainingConfig
from phylotools.training.objectives import Objective
from phylotools.training.shared_prior import FrequencyPrior
from phylotools.training.workers import Workers, sum_in_order

#: What an update says of itself.
FIGURES = ("loss", "log_likelihood", "gradient_norm", "shared_gradient_norm", "weight_norm")


class Update:
    """What a step does to the weights.

    Parameters
    ----------
    model : SiteModel
    objective : Objective
    prior : FrequencyPrior or None
        On what all sites share.
    config : TrainingConfig
    workers : Workers
    parts : int
        Parts of every batch.

    Attributes
    ----------
    optimiser : AdamW
    prior : FrequencyPrior or None
    """

    def __init__(
        self,
        model: SiteModel,
        objective: Objective,
        prior: FrequencyPrior | None,
        config: TrainingConfig,
        workers: Workers,
        parts: int,
    ) -> None:
        self._model, self._objective, self.prior = model, objective, prior
        self._clip = config.optimiser.gradient_clip
        self._workers, self._parts = workers, parts
        self.optimiser = make_optimiser(model, config)
        # To walk through all modules takes as long as a small step's update.
        self._all = list(model.parameters())
        self._of_network = list(model.network.parameters())
        self._shared = model.shared_parameters()

    def __call__(self, own: Sequence[Batch], share: float, wish: int = 0) -> dict[str, float]:
        """Take one step.

        Parameters
        ----------
        own : sequence of Batch
            This worker's parts, on the CPU; they may have no windows.
        share : float
            Of the full learning rate.
        wish : int
            What is asked of this worker, for all to know.

        Returns
        -------
        dict of str to float
            ``loss`` and ``log_likelihood``, means over the columns of the whole batch;
            ``gradient_norm`` and ``shared_gradient_norm``, before clipping, of the network and of
            what all sites share; ``weight_norm``; ``columns``, how many the whole batch has;
            ``wish``, the largest of all workers.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * share
        self.optimiser.zero_grad(set_to_none=True)
        weight, columns, wish = self._whole(own, wish)
        loss, log_likelihood = self._gradient(own, weight)
        norms = self._clipped()
        self.optimiser.step()
        weights = torch.nn.utils.get_total_norm(self._all)
        # Together: on a GPU each look waits for all that came before.
        figures = torch.stack([loss, log_likelihood, *norms, weights]).tolist()
        return dict(zip(FIGURES, figures, strict=True)) | {"columns": columns, "wish": wish}

    def _whole(self, own: Sequence[Batch], wish: int) -> tuple[float, float, int]:
        """Weight of the whole batch, by which every part's sums are divided; columns; wish."""
        rows = [[self._objective.weight(part), float(len(part.site)), float(wish)] for part in own]
        found = self._workers.gather(torch.tensor(rows, dtype=torch.float64), self._parts)
        weight, columns, _ = sum_in_order(found).tolist()
        return weight, columns, int(found[:, 2].max().item())

    def _gradient(self, own: Sequence[Batch], weight: float) -> Tensor:
        """Leave the gradient of the whole batch with the parameters; loss and log-likelihood."""
        first = self._workers.share(self._parts).start
        numbered = enumerate(own, start=first)
        if self._workers.size == 1:
            return sum_in_order(torch.stack([self._of_part(*one, weight) for one in numbered]))
        parameters = [parameter for parameter in self._all if parameter.requires_grad]
        size = sum(parameter.numel() for parameter in parameters) + 2
        if parameters[0].is_cuda:
            figures = [self._of_part(*one, weight) for one in numbered]
            ended = sum_in_order(torch.stack(figures)) if figures else parameters[0].new_zeros(2)
            summed = self._workers.sum_on_gpus(torch.cat([*_taken(parameters), ended]))
        else:
            rows = torch.empty(len(own), size)
            for row, one in zip(rows, numbered, strict=True):
                ended = self._of_part(*one, weight)
                torch.cat([*_taken(parameters), ended], out=row)
            summed = self._workers.sum_of_parts(rows, self._parts)
        *gradients, ended = summed.split([*(parameter.numel() for parameter in parameters), 2])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)
        return ended

    def _of_part(self, number: int, part: Batch, weight: float) -> Tensor:
        """Add the gradient of a part to the parameters'; its share of loss and log-likelihood."""
        device = self._model.network.output.bias.device
        if not len(part.tokens):  # an epoch's last batch may have fewer windows than parts
            return torch.zeros(2, device=device)
        terms = self._objective.sums(self._model, part.to(device)).over(weight)
        loss = terms.loss
        if number == 0 and self.prior is not None:
            loss = terms.penalty + self.prior.penalty(self._model.substitution)
            loss = loss - terms.log_likelihood
        loss.backward()
        return torch.stack([loss, terms.log_likelihood]).detach()

    def _clipped(self) -> tuple[Tensor, Tensor]:
        """Norms of the network's and of the shared parameters' gradient before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self._of_network, self._clip)
        # Apart: every column pulls at the shared parameters, so that their gradient would decide
        # how much is left of the network's.
        if not self._shared:
            return norm, torch.zeros_like(norm)
        return norm, torch.nn.utils.clip_grad_norm_(self._shared, self._clip)


def _taken(parameters: Sequence[nn.Parameter]) -> Iterator[Tensor]:
    """The gradient of each parameter, flat, which it has no longer."""
    for parameter in parameters:
        gradient, parameter.grad = parameter.grad, None
        yield torch.zeros_like(parameter).flatten() if gradient is None else gradient.flatten()


def make_optimiser(model: SiteModel, config: TrainingConfig) -> torch.optim.AdamW:
    """Weight decay on convolution weights alone, not on norms, biases, embeddings.

    The parameters shared by all sites form a group with a learning rate of their own.
    """
    decayed = [p for p in model.network.parameters() if p.dim() == 3]
    others = [p for p in model.network.parameters() if p.dim() != 3]
    shared = model.shared_parameters()
    groups = [
        {"params": decayed, "weight_decay": config.optimiser.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if shared:
        rate = config.substitution.learning_rate
        groups.append({"params": shared, "weight_decay": 0.0, "lr": rate})
    # In one pass over each tensor: 0.4 ms a step of `small` instead of 2.3. On a GPU it would keep
    # the step counts there.
    is_fused = model.network.output.bias.device.type == "cpu"
    optimiser = torch.optim.AdamW(groups, lr=config.optimiser.learning_rate, fused=is_fused)
    for group in optimiser.param_groups:
        group["initial_lr"] = group["lr"]
    return optimiser


class Average:
    """An exponential moving average of the weights.

    It forgets faster at first: the initial weights would count for long.

    Parameters
    ----------
    model : SiteModel
        Its weights as they stand are the first.
    decay : float
        Of the average that stays at a step, at most.

    Attributes
    ----------
    weights : dict of str to Tensor
        By the names that they have in the model's state.
    """

    def __init__(self, model: SiteModel, decay: float) -> None:
        self._decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take these weights for the average."""
        for name, own in self.weights.items():
            own.copy_(weights[name])

    @torch.no_grad()
    def follow(self, model: SiteModel, step: int) -> None:
        """Take the weights after a step, counted from 1, into the average."""
        share = 1 - min(self._decay, step / (step + 9))
        torch._foreach_lerp_(list(self.weights.values()), list(model.state_dict().values()), share)

    @contextmanager
    def standing_in(self, model: SiteModel) -> Iterator[None]:
        """Give the model the average for as long as the context lasts."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    @torch.no_grad()
    def _exchange(self, model: SiteModel) -> None:
        for name, own in model.state_dict().items():
            other = own.clone()
            own.copy_(self.weights[name])
            self.weights[name].copy_(other)
