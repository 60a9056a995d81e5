"""What the house rules call a smell and is right all the same: a name, and why."""

__all__ = ["BRITISH", "LONG_FILES", "LONG_FUNCTIONS", "NO_EXAMPLE", "POSITIONAL"]

# Files over 300 lines: "room/file.py".
LONG_FILES: dict[str, str] = {}

# Functions over 30 lines of code: "room/file.Class.function".
LONG_FUNCTIONS: dict[str, str] = {
    "regression/estimation.fit_regression": "one line for each setting of the training that a user may name",
    "training/_fit.fit": "one line for each setting that a user may name; the work is done in functions of its own",
}

# Public functions that take more than two positional arguments: "room.function" or "room.Class.method".
POSITIONAL: dict[str, str] = {
    "counterfactuals.ClassDensity.at_draw": "which draw, and the rows with their classes",
    "counterfactuals.DiCoFlex.restore": "settings, the folder they were saved in and the background, as Learner has it",
    "counterfactuals.Learner.restore": "settings, the folder they were saved in and the background learned beside them",
    "counterfactuals.latent_ascent": "a generator, a model, images and their target, as the interface has them",
    "counterfactuals.learn_background": "schema, rows and labels are what is learned from; everything else has a name",
    "counterfactuals.search": "a problem, its start and its box are one thing to solve; everything else has a name",
    "nets.VelocityMLP.forward": "velocities are called with time, state and context everywhere",
    "nets.run_conditioner": "a net, its points and their context go together, as in a call of the net",
    "tables.describe_change": "a column, and its value before and after",
    "models.distill": "a model, and the table that it is distilled on: its schema and its rows",
    "flows.initialize": "a flow, the rows and their context go together, as in a call of the flow",
    "metrics.interval_validity": "an interval is written as two numbers: values, low, high",
    "metrics.target_distance": "an interval is written as two numbers: values, low, high",
    "training.optimise": "module, loss and batches are what is optimized; everything else has a name",
}

# Rooms whose docstrings hold no example that runs.
NO_EXAMPLE: dict[str, str] = {}

# Words in another spelling that are names.
BRITISH: dict[str, str] = {
    "optimise": "the public name of the training loop",
    "labelleft": "an argument of matplotlib",
}
