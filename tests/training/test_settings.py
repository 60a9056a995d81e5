import pytest

from counterflow.core.errors import ArgumentError
from counterflow.training import TrainingSettings


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("max_epochs", 0, "max_epochs must be a whole number of at least 1, got 0"),
        ("patience", 0, "patience must be a whole number of at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate must be above zero, got 0.0"),
        ("learning_rate", float("nan"), "learning_rate must be above zero, got nan"),
        ("weight_decay", -0.1, "weight_decay must be at least 0, got -0.1"),
        ("clip", 0.0, "clip must be above zero, got 0.0"),
        ("time_limit", -1.0, "time_limit must be above zero, got -1.0"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(name, value, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        TrainingSettings(**{name: value})
