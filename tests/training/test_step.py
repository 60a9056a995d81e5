"""One training step: eager and compiled are the same, and torch's own optimizer is the witness."""

import pytest
import torch
from torch import nn

from counterflow import flows
from counterflow.training import TrainingStep
from counterflow.training import run as run_module
from counterflow.training import step as step_module
from counterflow.training.adam import Moments, clipped, updated
from tests.training.helpers import DiagonalGaussian, normal_rows, quick_fit, seeded


def squares(module, x):
    return module(x).square().mean()


def net():
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))


def rows(seed=0, count=8):
    return torch.randn(count, 3, generator=seeded(seed))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_formulas_are_those_of_torch(weight_decay):
    vector = torch.randn(20, generator=seeded(0))
    theirs = nn.Parameter(vector.clone())
    optimizer = torch.optim.AdamW([theirs], lr=0.1, weight_decay=weight_decay)
    moments = Moments.zeros(vector)
    for i in range(5):
        gradient = torch.randn(20, generator=seeded(i))
        vector = updated(vector, gradient, moments, learning_rate=torch.tensor(0.1), weight_decay=weight_decay)
        theirs.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(vector, theirs.detach())


def test_clipping_is_that_of_torch():
    gradient = torch.tensor([3.0, 4.0])
    theirs = nn.Parameter(torch.zeros(2))
    theirs.grad = gradient.clone()
    nn.utils.clip_grad_norm_(theirs, 1.0)
    torch.testing.assert_close(clipped(gradient, 1.0), theirs.grad)
    assert torch.equal(clipped(gradient, 6.0), gradient)


@pytest.mark.parametrize("clip", [None, 0.1])
def test_an_eager_step_is_torch_s_adam(clip):
    ours, theirs = net(), net()
    theirs.load_state_dict(ours.state_dict())
    step = TrainingStep(ours, squares, clip=clip)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01)
    for i in range(4):
        loss = step(rows(i), 0.01)
        expected = squares(theirs, rows(i))
        optimizer.zero_grad()
        expected.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        optimizer.step()
        torch.testing.assert_close(loss, expected.detach())
    step.close()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_parameters_have_their_own_memory_again_afterwards():
    module = net()
    step = TrainingStep(module, squares)
    shared = {p.untyped_storage().data_ptr() for p in module.parameters()}
    step.close()
    assert len(shared) == 1
    assert len({p.untyped_storage().data_ptr() for p in module.parameters()}) == 4


def test_moments_come_back_from_a_snapshot():
    module = net()
    step = TrainingStep(module, squares)
    step(rows(), 0.1)
    kept = step.moments.snapshot()
    step(rows(1), 0.1)
    step.moments.restore(kept)
    assert step.moments.steps.item() == 1
    assert all(torch.equal(kept[name], value) for name, value in step.moments._asdict().items())
    step.moments.reset()
    assert not any(value.any() for value in step.moments)


class TestCompiling:
    """The compiler itself is replaced, but for the last three tests."""

    def step(self, compile, module=None):
        return TrainingStep(module or net(), squares, compile=compile)

    @pytest.fixture
    def calls(self, monkeypatch):
        calls = []
        monkeypatch.setattr(torch, "compile", lambda function, **_: calls.append(function) or function)
        return calls

    def test_auto_compiles_only_if_enough_time_is_left_and_decides_once(self, calls):
        step = self.step("auto")
        step.consider_compiling(179.0)
        step.consider_compiling(1e6)
        assert not calls
        step = self.step("auto")
        step.consider_compiling(181.0)
        assert len(calls) == 1

    def test_never_means_never(self, calls):
        step = self.step(False)
        step.consider_compiling(1e9)
        step(rows(), 0.1)
        assert not calls

    def test_a_compiler_that_fails_is_left_alone_when_it_was_not_asked_for(self, monkeypatch):
        def broken(*_):
            raise RuntimeError("no C++ compiler")

        monkeypatch.setattr(torch, "compile", lambda function, **_: broken)
        module = net()
        step = self.step("auto", module)
        step.consider_compiling(1e6)
        expected = squares(module, rows()).item()
        assert step(rows(), 0.0).item() == pytest.approx(expected)
        assert step(rows(), 0.0).item() == pytest.approx(expected)
        with pytest.raises(RuntimeError, match=r"no C\+\+ compiler"):
            self.step(True)(rows(), 0.1)

    def test_a_module_of_many_layers_is_compiled_by_itself(self, calls, monkeypatch):
        monkeypatch.setattr(step_module, "_DEEP", 3)
        module = net()
        self.step(True, module)(rows(), 0.1)
        assert calls == [module]

    def test_batches_of_another_form_take_the_eager_way(self, monkeypatch):
        seen = []

        def compile(function, **_):
            def counted(*arguments):
                seen.append(len(arguments[2]))
                return function(*arguments)

            return counted

        monkeypatch.setattr(torch, "compile", compile)
        step = TrainingStep(net(), squares, compile=True, trusted=True)
        step._model = step.module
        for count in (8, 5, 8):
            step(rows(count=count), 0.1)
        assert seen == [8, 8]

    def test_a_compiled_step_is_the_eager_step(self, run_unhooked):
        """In one graph, through the whole compiler but for the machine code."""
        script = """
            import torch
            from counterflow import flows
            from counterflow.training import Batch, TrainingStep, negative_log_likelihood
            compile = torch.compile
            def without_code(function, fullgraph=False, options=None):
                filters = {key: value for key, value in (options or {}).items() if key == "guard_filter_fn"}
                return compile(function, fullgraph=fullgraph, backend="aot_eager", options=filters or None)
            torch.compile = without_code
            x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            def run(settings, width=8):
                generator = torch.Generator().manual_seed(0)
                flow = flows.spline_coupling(3, layers=2, hidden=(width,), generator=generator).double()
                step = TrainingStep(flow, negative_log_likelihood, clip=0.5, weight_decay=0.1, **settings)
                losses = [step(Batch(x), 0.01) for _ in range(4)]
                assert (step._whole is not None) == bool(settings)  # nothing failed and was done without it
                step.close()
                return torch.stack(losses), [p.detach() for p in flow.parameters()]
            eager = run({})
            run({"compile": True, "trusted": True}, width=9)
            compiled = run({"compile": True, "trusted": True})  # another one, which must not find the code of the first
            torch.testing.assert_close(eager, compiled, rtol=1e-9, atol=1e-9)
            print("same")
        """
        assert run_unhooked(script, warnings="default") == "same"

    def test_what_the_graph_cannot_hold_is_done_without_it(self, run_unhooked):
        """A loss that prints its value leaves the graph: the module alone is compiled then, and the loss is right."""
        script = """
            import torch
            from torch import nn
            from counterflow.training import TrainingStep
            compile = torch.compile
            torch.compile = lambda function, **settings: compile(function, backend="eager", **{
                key: value for key, value in settings.items() if key == "fullgraph"})
            seen = []
            def loss(module, x):
                value = (module(x) - 1).square().mean()
                seen.append(value.item())
                return value
            line = nn.Linear(1, 1)
            step = TrainingStep(line, loss, compile=True)
            values = [step(torch.ones(4, 1), 0.1).item() for _ in range(3)]
            assert values == seen[-3:] and values[2] < values[0], (values, seen)
            print("same")
        """
        assert run_unhooked(script, warnings="default") == "same"

    @pytest.mark.parametrize("compile", ["False", "True"])
    def test_buffers_that_training_changes_are_changed(self, run_unhooked, compile):
        script = """
            import sys, torch
            from counterflow.training import TrainingStep
            from tests.training.helpers import CountingGaussian, normal_rows
            compile = torch.compile
            torch.compile = lambda function, fullgraph=False, options=None: compile(
                function, fullgraph=fullgraph, backend="aot_eager")
            module = CountingGaussian(3)
            x = normal_rows(8, 3) + 1
            step = TrainingStep(module, lambda m, x: -m(x).mean(), compile=sys.argv[1] == "True")
            for _ in range(3):
                step(x, 0.1)
            step.close()
            torch.testing.assert_close(module.steps, torch.tensor([3.0, 3 * float(x.mean())]))
            print("changed")
        """
        assert run_unhooked(script, compile, warnings="default") == "changed"


@pytest.mark.parametrize("widths", [(4, 4), (4,)])  # the second has fewer parameters than a deep module, and shares too
def test_a_deep_flow_is_compiled_layer_by_layer(run_unhooked, widths):
    """Layers that are alike share their code, which they may only if their parameters share no memory."""
    script = """
        import sys, torch
        from counterflow import flows
        from counterflow.training import Batch, TrainingStep, negative_log_likelihood
        compile = torch.compile
        torch.compile = lambda function: compile(function, backend="aot_eager", fullgraph=True)
        x = torch.randn(40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        def run(compile):
            generator = torch.Generator().manual_seed(0)
            flow = flows.realnvp(2, layers=18, hidden=eval(sys.argv[1]), generator=generator).double()
            step = TrainingStep(flow, negative_log_likelihood, compile=compile, trusted=True)
            losses = [step(Batch(x), 0.01) for _ in range(4)]
            step.close()
            return torch.stack(losses), flow(x).detach()
        for one, other in zip(run(True), run(False)):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
        print("same")
    """
    assert run_unhooked(script, repr(widths), warnings="default") == "same"


class TestTrust:
    """Calls of a compiled step may skip checks only where nothing can change behind the compiler's back."""

    @pytest.fixture
    def trusted(self, monkeypatch):
        seen = []
        monkeypatch.setattr(
            run_module, "TrainingStep", lambda *a, trusted, **k: seen.append(trusted) or TrainingStep(*a, **k)
        )
        return seen

    @pytest.mark.parametrize(
        ("flow", "settings", "expected"),
        [
            (lambda: flows.realnvp(2, layers=1), {}, True),
            (lambda: flows.realnvp(2, layers=1), {"on_epoch": lambda record: None}, False),
            (lambda: DiagonalGaussian(2), {}, False),
        ],
        ids=["our own", "with a callback", "a module of the user's"],
    )
    def test_fit_trusts_what_it_knows(self, trusted, flow, settings, expected):
        quick_fit(flow(), normal_rows(), max_epochs=1, **settings)
        assert trusted == [expected]
