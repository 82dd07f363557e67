"""What every section of the settings is, and the types that several of them use."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Frozen, and an unknown key is an error.

    What checks it is built with its first use: mostly that of the whole, which checks all of its sections. So that
    defaults are no such use, they are made by `model_construct`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Usd = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$", examples=["0.25"])]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:/-]{1,100}$", examples=["eu-west"])]
