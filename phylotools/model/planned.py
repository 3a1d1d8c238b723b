"""A model as the plan of a job names it: where it lies, and which it must be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from phylotools.errors import InputError
from phylotools.model.device import device_names
from phylotools.model.folder import Model, ModelIdentity, read_model


@dataclass(frozen=True)
class PlannedModel:
    """A model that the parts of a job load anew.

    Attributes
    ----------
    path : str
        Absolute, of its folder.
    name, revision, sha256, window : str
        Of its `ModelIdentity`.
    """

    path: str
    name: str
    revision: str
    sha256: str
    window: str

    @classmethod
    def of(cls, model: Model) -> PlannedModel:
        """A model that is loaded."""
        own = model.identity
        path = str(model.folder.absolute())
        return cls(path, own.name, own.revision, own.sha256, own.window)

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity(self.name, self.revision, self.sha256, self.window)

    def load(self, device: str) -> Model:
        """The model, with or without its site fits, as it was planned.

        Raises
        ------
        InputError
            If it is no longer what it was when the plan was made.
        UsageError
            If there is no such device.
        """
        return self.checked(read_model(Path(self.path), device))

    def on_devices(self, devices: str | None, loaded: Model | None = None) -> list[Model]:
        """The model for each of some devices.

        Parameters
        ----------
        devices : str, optional
            As users name them: ``auto``, ``cuda:0,cuda:1``. None for the device of `loaded`, else
            the best there is.
        loaded : Model, optional
            The model, if it is loaded already.

        Raises
        ------
        InputError
            If it is no longer what it was when the plan was made.
        UsageError
            If there is no such device.
        """
        names = [] if devices is None else device_names(devices)
        first = names[0] if names else "auto"
        model = self.load(first) if loaded is None else self.checked(loaded)
        models = [dataclasses.replace(model, device_name=name) for name in names] or [model]
        _ = [one.device for one in models]  # There must be such.
        return models

    def checked(self, model: Model) -> Model:
        """The same of a model that is loaded already."""
        for found in (model, model.from_sequence_alone()):
            if found.sha256 == self.sha256:
                return found
        raise InputError(
            "has changed since the plan was made",
            path=self.path,
            remedy="remove the work folder and start anew",
        )
