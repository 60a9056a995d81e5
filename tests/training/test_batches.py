import torch
from hypothesis import given
from hypothesis import strategies as st

from counterflow.training import Batch, TensorBatches
from tests.training.helpers import seeded


@given(rows=st.integers(1, 60), batch_size=st.integers(1, 70))
def test_batches_of_one_size_deal_each_row_at_most_once_and_leave_out_fewer_than_there_are_batches(rows, batch_size):
    batches = TensorBatches(Batch(torch.arange(rows)), batch_size)
    dealt = [batch.x for batch in batches(seeded())]
    assert {len(x) for x in dealt} == {batches.size}
    assert batches.size <= batch_size
    together = torch.cat(dealt).tolist()
    assert len(set(together)) == len(together)
    assert 0 <= rows - len(together) < len(dealt) == batches.count


def test_rows_stay_together_and_epochs_differ():
    x = torch.arange(20.0)
    batches = TensorBatches(Batch(x, context=x[:, None] * 10, weights=x + 1), 6)
    generator = seeded()
    first, second = (list(batches(generator)) for _ in range(2))
    for batch in first:
        assert torch.equal(batch.context[:, 0], batch.x * 10)
        assert torch.equal(batch.weights, batch.x + 1)
    assert not torch.equal(first[0].x, second[0].x)


def test_the_order_is_the_generators_permutation():
    dealt = torch.cat([batch.x for batch in TensorBatches(Batch(torch.arange(12)), 4)(seeded(7))])
    assert torch.equal(dealt, torch.randperm(12, generator=seeded(7)))


def test_augmentation_is_fresh_every_time_and_may_be_a_number():
    codes = torch.arange(8)

    def dequantize(x, generator):
        return x[:, None] + torch.rand(len(x), 1, generator=generator, dtype=torch.float64), 0.5

    batches = TensorBatches(Batch(codes), 4, augment=dequantize)
    generator = seeded()
    first, second = (torch.cat([b.x for b in batches(generator)]).sort(0).values for _ in range(2))
    assert first.dtype == torch.float32
    assert torch.equal(first.floor()[:, 0], codes.float())
    assert torch.equal(second.floor()[:, 0], codes.float())
    assert not torch.equal(first, second)
    assert next(iter(batches(generator))).log_weight.tolist() == [0.5] * 4
