"""config.json of every golden with one field made another: whatever it says, the plan is made or refused in one line, never a crash.
A few fields and values of each, chosen at random with a fixed seed."""
import json
import random

import pytest

from program import golden_checkpoints, mill

VALUES = (0, -1, 1, 3, 1 << 20, 1 << 31, 1 << 62, 1.5, "x", None, True, [], [1, 2], {})
PER_CHECKPOINT = 12


def paths(config, above=()):
    for key, value in config.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


@pytest.mark.parametrize("checkpoint", golden_checkpoints(), ids=lambda c: c.parent.name)
def test_field(checkpoint, tmp_path):
    config = json.loads((checkpoint / "config.json").read_text())
    folder = tmp_path / checkpoint.name
    folder.mkdir()
    for file in checkpoint.iterdir():
        if file.name != "config.json":
            (folder / file.name).symlink_to(file)
    choose = random.Random(checkpoint.parent.name)
    fields = list(paths(config))
    for _ in range(PER_CHECKPOINT):
        *above, field = choose.choice(fields)
        changed = json.loads(json.dumps(config))
        place = changed
        for key in above:
            place = place[key]
        place[field] = choose.choice(VALUES)
        (folder / "config.json").write_text(json.dumps(changed))
        run = mill("plan", folder, "-r", "Q4_K_M")
        what = f"{'.'.join([*above, field])} = {place[field]!r}: {run.stderr[:500]}"
        assert run.code in (0, 65), what
        if run.code == 65:
            errors = [line for line in run.stderr.splitlines() if line.startswith("ggufmill: error: ")]
            assert len(errors) == 1 and run.stderr.startswith(errors[0]), what
