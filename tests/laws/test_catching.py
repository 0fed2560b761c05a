"""Each law catches what it is about: the invented pair, broken in one place after the other."""

from __future__ import annotations

import importlib
import re

import pytest
from laws import INVENTED, LAWS

TAU = "        tau = self.temperature(state, now)\n"
LOSS = "climbed).mean(1), actor, now.rows["
BROKEN = {
    "company": [
        ("y = self.target(", "y = 0.1 * q.mean() + self.target(", "seed 3 among 1 and 20: .*actor"),
        (LOSS, LOSS.replace("climbed", "len(q) * climbed"), "seed 3 among 1 and 20"),
        (LOSS, LOSS.replace("climbed", "climbed[:1]"), "seed 11 among 7 and 20"),
        ("(policy.mode, ", "(policy.mode + 0.01 * len(actor), ", "return_greedy of segment 1"),
    ],
    "resume": [
        (TAU, f"        self.count = getattr(self, 'count', 0) + 1\n{TAU[:-1]} / self.count\n", "resumed and unbroken"),
        (TAU, f"{TAU}        tau = self.__dict__.setdefault('tau', state['price'].exp())\n", "resumed and unbroken"),
    ],
    "at_zero": [
        ("value - tau * log_prob", "value - (tau + 1e-6) * log_prob", "climb-soft on numbers: .* at temperature 0: "),
        ("    temperature: Row = 0.2\n", "", "climb-soft: at_zero: the pair has no setting `temperature`"),
    ],
    "rows": [
        (
            'now.rows["critic_rate"]',
            "torch.full_like(tau[:, 0], self.settings.critic_rate)",
            "alone and as rows",
        ),
        (TAU, f"{TAU[:-1]}.mean(0, keepdim=True)\n", "alone and as rows"),
    ],
    "device": [
        (TAU, f"{TAU}        tau.max().item()\n", r"item\(\) cannot be called on meta"),
        (TAU, f"{TAU}        tau.cpu()\n", "Cannot copy out of meta tensor"),
        (TAU, f"{TAU}        if (tau > 1).any():\n            return dict()\n", "cannot be called on meta"),
        (TAU, f"{TAU}        tau[tau > 1]\n", "nonzero"),
        (TAU, f"{TAU}        tau = tau + torch.zeros(len(tau), 1)\n", "device cpu is not on the expected device meta"),
        ("action.new_tensor(each)", "action.new_tensor(action.sum().tolist())", "Cannot copy out of meta tensor"),
        ('"price": told}', '"prize": told}', "metrics: returns .*prize.*, declares .*price"),
        ("told = -log_prob.detach().mean(1)", "told = -log_prob.detach().mean()", "stack expects"),
        ("        follow_(", "        state['more'] = tau\n        follow_(", "state: has other tensors"),
    ],
    "documents": [
        ("HARD = {", "__doc__ = None\nHARD = {", "the module has no docstring"),
        ("Liu 2020", "Liu", "name no year"),
        ("  # Eq. 32", "", "no line cites its equation"),
        ('Arm("climb, no entropy"', 'Arm(""', "arms: climb: has no title"),
        ('Metric("of a squared step, positive")', 'Metric("")', "metrics: price: has no meaning"),
    ],
    "bench": [
        (
            "batch: int = Field(default=64",
            "batch: int = Field(default=20_000",
            "replay_size: must be at least the batch",
        ),
        (TAU, f"{TAU}        assert len(log_prob) == self.settings.batch\n", "UnboundLocalError"),
    ],
    "policy": [
        (
            "low, high = (action",
            "action = torch.from_numpy(1 * action.detach().numpy())\n        low, high = (action",
            "no graph that ONNX",
        ),
        (
            "low, high = (action",
            "action = -action if action.sum() > 0 else action\n        low, high = (action",
            "no graph that ONNX",
        ),
    ],
    "page": [
        ("None if use ==", "1 / 0 if use ==", "training: .*division by zero"),
        ("self.entropy_in_target", "self.soft", "no line reads a switch as self"),
    ],
}


@pytest.fixture
def broken(place, request):
    """The name of a new pair in which `old` of the invented one is `new`; of its arms `kept` stay."""
    made = []

    def write(old, new, kept):
        lines = INVENTED.read_text().splitlines(keepends=True)
        source = "".join(line for line in lines if not line.startswith('        "climb-') or kept in line)
        assert old in source
        name = re.sub(r"\W", "_", request.node.name)
        (place / f"{name}.py").write_text(source.replace(old, new))
        made.append(place / f"{name}.py")
        importlib.invalidate_caches()
        return f"{name}:Invented"

    yield write
    for path in made:
        path.unlink()


@pytest.mark.parametrize(
    ("law", "number"), [(law, number) for law, faults in BROKEN.items() for number in range(len(faults))]
)
@pytest.mark.usefixtures("needed")
def test_a_law_catches(broken, law, number):
    old, new, message = BROKEN[law][number]
    try:
        said = LAWS[law](broken(old, new, "climb-soft" if law in ("at_zero", "page") else "no other"))
    except Exception as error:  # the pair's own, or what the harness says of it
        said = [repr(error)]
    assert re.search(message, "\n".join(said)), said
