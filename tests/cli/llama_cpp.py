"""Real llama.cpp, prebuilt by the npm package node-llama-cpp."""
import json
import os
import shutil
import subprocess
from pathlib import Path

from program import ROOT

NODE_FOLDER = Path(os.environ.get("GGUFMILL_TEST_NODE", ROOT / "build" / "node"))
ORACLE = ROOT / "tests" / "oracle" / "generate.mjs"


def node():
    of_venv = NODE_FOLDER.parent / "venv" / "bin" / "node"
    return str(of_venv) if of_venv.exists() else shutil.which("node")


def tokenize(model, texts, folder):
    """Token ids of every text; specials in a text are recognised, none are added. Writes into `folder`."""
    (folder / "texts.json").write_text(json.dumps(texts))
    run = subprocess.run([node(), ORACLE.with_name("tokenize.mjs"), NODE_FOLDER, model, folder / "texts.json"], capture_output=True, text=True,
                         timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def generate(model, count, prompts):
    """Loads a GGUF file and continues every prompt by `count` greedy tokens."""
    run = subprocess.run([node(), ORACLE, NODE_FOLDER, model, str(count), *prompts], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)["runs"]


def generate_each(models, count=8, prompt="a b c"):
    """The same for many files and one prompt, in one process: for each the tokens, or {"error"}."""
    run = subprocess.run([node(), Path(__file__).with_name("generate_each.mjs"), NODE_FOLDER, str(count), prompt, *models], capture_output=True,
                         text=True, timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)
