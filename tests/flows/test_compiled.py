"""A compiled copy of a flow gives what the flow gives."""

import pytest

SAME = """
    import sys, torch
    from counterflow import flows
    from tests.laws.registry import FLOWS
    compile, made = torch.compile, []
    def without_code(function, options=None):
        made.append(function.__code__.co_names[-1])
        return compile(function, backend="aot_eager", options=None)
    torch.compile = without_code
    case = FLOWS[sys.argv[1]]
    flow, (x, context) = case.make(), case.data()
    fast = flows.compiled(flow)
    torch.testing.assert_close(fast.log_prob(x, context), flow(x, context).detach())
    z, log_det = fast.to_latent(x, context)
    torch.testing.assert_close((z, log_det), flow.to_latent(x, context))
    torch.testing.assert_close(fast.to_data(z, context), flow.to_data(z, context))
    drawn = [f.sample(5, context, generator=torch.Generator().manual_seed(0)) for f in (fast, flow)]
    torch.testing.assert_close(*drawn)
    assert not fast.log_prob(x, context).requires_grad
    print(" ".join(sorted(set(made))))
"""


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("spline_coupling_context", "_flow to_data to_latent"),
        ("spline_autoregressive", "_flow data_and_log_slope to_latent"),
        ("iaf_context", "data_and_log_slope to_data"),
    ],
)
def test_a_compiled_flow_is_the_flow(run_unhooked, name, made):
    """What goes feature by feature is compiled for one feature, everything else as a whole."""
    assert run_unhooked(SAME, name, warnings="default") == made


def test_later_training_does_not_change_it(run_unhooked):
    script = """
        import torch
        from counterflow import flows
        torch.compile = lambda function, options=None: function
        flow, x = flows.maf(2, layers=1), torch.ones(3, 2)
        fast = flows.compiled(flow)
        before = fast.log_prob(x)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(1.0)
        assert torch.equal(fast.log_prob(x), before)
        assert not torch.allclose(flow(x), before)
        assert all(p.requires_grad for p in flow.parameters())
        print("kept")
    """
    assert run_unhooked(script) == "kept"


def test_guards_are_kept_for_what_changes(run_unhooked):
    """Another number of points, another dtype, a context: a call never gives what was compiled for something else."""
    script = """
        import torch
        from counterflow import flows
        compile = torch.compile
        torch.compile = lambda function, options=None: compile(function, backend="eager", options=options)
        from torch._dynamo import reset
        flow = flows.realnvp(2, context_features=1, layers=2)
        fast = flows.compiled(flow)
        for rows in (3, 5, 8, 1):
            for context in (torch.ones(rows, 1), torch.ones(1)):
                x = torch.randn(rows, 2)
                torch.testing.assert_close(fast.log_prob(x, context), flow(x, context).detach())
        try:
            fast.log_prob(torch.zeros(3, 2))
        except Exception as error:
            print(type(error).__name__)
    """
    assert "Error" in run_unhooked(script, warnings="default")


def test_each_flow_has_its_own(run_unhooked):
    """Calls check nothing but their points: two flows must not find each other's code."""
    script = """
        import torch
        from counterflow import flows
        compile = torch.compile
        torch.compile = lambda function, options=None: compile(function, backend="eager", options=options)
        x = torch.randn(5, 4)
        made = [flows.maf(4, layers=n, hidden=(h,)) for n, h in ((1, 8), (2, 8), (2, 9))]
        for flow in made:
            with torch.no_grad():
                for p in flow.parameters():
                    p.add_(torch.randn_like(p))
        for flow, fast in [(flow, flows.compiled(flow)) for flow in made]:
            torch.testing.assert_close(fast.log_prob(x), flow(x).detach(), rtol=1e-4, atol=1e-4)
            drawn = [f.sample(3, generator=torch.Generator().manual_seed(0)) for f in (fast, flow)]
            torch.testing.assert_close(*drawn, rtol=1e-3, atol=1e-3)
        print("own")
    """
    assert run_unhooked(script, warnings="default") == "own"
