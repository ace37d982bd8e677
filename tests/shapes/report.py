#!/usr/bin/env python3
"""The true shapes of large models, planned: docs/true-shapes.md. For each model of make_shapes.py the sparse checkpoint is written
to a temporary folder, `ggufmill plan --json` runs over it once per preset, and the folder goes again; the sizes stand beside those
that others published (published_sizes.json: {model: {preset: {"bytes", "gib" or "gb", "unit", "source", "note"}}}, a preset being
NAME, or NAME+imatrix, NAME+no-mtp, NAME+options ("options": flags) for what the published file was made with).

usage: report.py GGUFMILL [--only MODEL] ... > docs/true-shapes.md
Exit 1 if a plan failed, or took longer or more memory than it may. Standard library only."""
import argparse, json, os, platform, struct, subprocess, sys, tempfile
from pathlib import Path

import make_shapes

PRESETS = ('Q8_0', 'Q4_K_M', 'IQ4_XS', 'Q3_K_M', 'IQ3_XXS', 'IQ2_XXS')  # besides the default recipe and what is published
MAX_SECONDS, MAX_MIB = 3, 200
GB = 1e9


# A process's peak counts what its parent held when it was started, so a small one starts the program and measures it.
METER = """import os, subprocess, sys, time
start = time.monotonic()
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
open(sys.argv[1], 'w').write(f'{os.waitstatus_to_exitcode(status)} {time.monotonic() - start} {usage.ru_maxrss / 1024}')
"""


def run(arguments):
    """(exit code, stdout, stderr, seconds, peak MiB) of a command."""
    with tempfile.NamedTemporaryFile('r') as measured:
        done = subprocess.run([sys.executable, '-S', '-c', METER, measured.name, *arguments], capture_output=True, text=True, check=True)
        code, seconds, mib = measured.read().split()
    return int(code), done.stdout, done.stderr, float(seconds), float(mib)


def plan(program, folder, preset, imatrix, options):
    """dict(preset, error) or dict(preset, file_bytes, tensor_bytes, parameters, tensors, source_bytes, seconds, mib, plan)."""
    name, *flags = preset.split('+')
    command = [program, 'plan', str(folder), '--json'] + (['-r', name] if name != 'default' else [])
    command += ['--no-mtp'] * ('no-mtp' in flags) + ['--imatrix', str(imatrix)] * ('imatrix' in flags) + options
    code, out, err, seconds, mib = run(command)
    if code != 0:
        return dict(preset=preset, error=f'exit {code}: {err.strip().splitlines()[0].replace(str(folder.parent) + "/", "")}')
    found = json.loads(out)
    return dict(preset=preset, file_bytes=found['total_bytes'], tensor_bytes=sum(t['bytes'] for t in found['tensors']),
                parameters=found['parameters'], tensors=len(found['tensors']), source_bytes=found['source_bytes'],
                seconds=seconds, mib=mib, plan=found)


def write_imatrix(path, tensors):
    """An importance matrix for all weights of a plan but the embeddings, as llama-imatrix writes it: per weight W the tensors
    W.in_sum2 [inputs, experts] and W.counts [1, experts], F32, here as a hole."""
    def text(s):
        return struct.pack('<Q', len(s)) + s.encode()
    kv = [text('general.type') + struct.pack('<I', 8) + text('imatrix'),
          text('imatrix.datasets') + struct.pack('<IIQ', 9, 8, 1) + text('none'),
          text('imatrix.chunk_count') + struct.pack('<II', 4, 1), text('imatrix.chunk_size') + struct.pack('<II', 4, 512)]
    infos, offset = [], 0
    for t in tensors:
        shape = t['shape']
        if len(shape) < 2 or not t['name'].endswith('.weight') or t['name'].startswith('token_embd'):
            continue
        experts = shape[2] if len(shape) > 2 else 1
        for name, ne in ((t['name'] + '.in_sum2', (shape[0], experts)), (t['name'] + '.counts', (1, experts))):
            infos.append(text(name) + struct.pack('<IQQIQ', 2, *ne, 0, offset))
            offset += -(-4 * ne[0] * ne[1] // 32) * 32
    header = b'GGUF' + struct.pack('<IQQ', 3, len(infos), len(kv)) + b''.join(kv) + b''.join(infos)
    with open(path, 'wb') as f:
        f.write(header)
        f.truncate(-(-len(header) // 32) * 32 + offset)


def presets_of(name, published):
    model = make_shapes.MODELS[name]
    source = 'auto' if 'quantization_config' in json.dumps(make_shapes.config_of(model)) else 'BF16'
    wanted = ['default', source, *PRESETS]
    return wanted + [p for p in published if p not in wanted]


def plans(program, name, published):
    """(totals of the checkpoint, its plans, real bytes on disk)"""
    with tempfile.TemporaryDirectory(prefix='true-shapes-') as folder:
        found = make_shapes.write_checkpoint(name, folder)
        checkpoint, imatrix = Path(folder) / name, Path(folder) / 'imatrix.gguf'
        disk = sum(f.stat().st_blocks * 512 for f in checkpoint.iterdir())
        results = []
        for preset in presets_of(name, published):
            if '+imatrix' in preset and not imatrix.exists():
                base = next((r for r in results if 'plan' in r), None)
                if base:
                    write_imatrix(imatrix, base['plan']['tensors'])
            results.append(plan(program, checkpoint, preset, imatrix, published.get(preset, {}).get('options', [])))
    return found, results, disk


def published_bytes(entry):
    return entry.get('bytes') or round(entry['gib'] * 2**30 if 'gib' in entry else entry['gb'] * GB)


def published_text(entry):
    if 'bytes' in entry:
        return f'{entry["bytes"]:,} bytes'
    return f'{entry["gib"]} GiB' if 'gib' in entry else f'{entry["gb"]} GB'


def row(result, entry):
    """One line of a model's table; the published number is set beside tensors alone where it counts those."""
    preset = ' '.join([result['preset'].removesuffix('+options'), *(entry or {}).get('options', [])])
    if 'error' in result:
        return f'| {preset} | | | | | {result["error"]} |'
    bits = 8 * result['tensor_bytes'] / result['parameters']
    line = f'| {preset} | {result["file_bytes"] / GB:,.2f} | {bits:.2f} '
    if not entry:
        return line + '| | | |'
    ours = result['tensor_bytes' if 'header' in entry.get('counts', '') else 'file_bytes']
    remark = entry['source'] + ''.join(f'; {entry[key]}' for key in ('counts', 'note') if key in entry)
    if 'not said' in entry['unit']:
        difference = ' or '.join(f'{100 * (ours / (entry["gb"] * unit) - 1):+.2f} %' for unit in (GB, 2**30))
        return line + f'| {entry["gb"]} GB or GiB | {difference} | {remark} |'
    return line + f'| {published_text(entry)} | {100 * (ours / published_bytes(entry) - 1):+.2f} % | {remark} |'


def page(name, found, results, disk, published):
    model = make_shapes.MODELS[name]
    lines = [f'## {name}', '', f'{found["parameters"] / GB:,.3f} B parameters, {found["bytes"]:,} bytes in {found["tensors"]:,} tensors.']
    lines += [f'-{line[1:]}' for line in make_shapes.comparison(model, found)] + [f'- numbers: {model.source}']
    lines += [f'- unsure: {model.unsure}'] * bool(model.unsure)
    done = [r for r in results if 'plan' in r]
    if done:
        timed = [r for r in done if '+imatrix' not in r['preset']]
        lines.append(f'- {done[0]["tensors"]:,} tensors in the GGUF; a plan takes at most {max(r["seconds"] for r in timed):.1f} s and '
                     f'{max(r["mib"] for r in timed):.0f} MiB; the sparse checkpoint takes {disk / 1e6:.0f} MB of disk')
    elif len({r['error'] for r in results}) == 1:
        return lines + [f'- not planned: {results[0]["error"]}', '']
    lines += ['', '| preset | GB | bits per weight | published | difference | who published it |', '| --- | ---: | ---: | ---: | ---: | --- |']
    return lines + [row(r, published.get(r['preset'])) for r in results] + ['']


INTRODUCTION = """# True shapes

What `ggufmill plan` says of large published models, beside the sizes that others published for the same types. The checkpoints are
holes with the true names, shapes and dtypes of all tensors and a tokenizer of the true size (`tests/shapes/make_shapes.py`, which
names the source of each number); nothing is downloaded. This page is the output of `tests/shapes/report.py`. GB are 10^9 bytes. A
preset with `+imatrix` is planned with an importance matrix for all weights but the embeddings, one with `+no-mtp` without the MTP
block. Where a published size counts the tensors alone, it is compared with the tensors alone.
"""

CLOSING = """## Where the sizes differ

- Importance matrix: with one, llama-quantize raises fewer tensors. Nemotron-4's IQ4_XS and IQ3_XXS were published both ways or with
  one, and both rows fit: 185.6 and 183.1 GB, 132.2 GB (140.3 without).
- MTP block: a plan includes it where llama.cpp's converter does. The Qwen3.5 files whose sizes stand here lack it
  (396.35 B parameters; 7.0 GB less at Q8_0); GLM-5.1's have it.
- Llama 3.1 405B: five sizes fit 16 kv heads (as first published, it seems) within 0.06 %, and would be 1.6 % off with 8 (IQ2_XXS
  107.3 GB).
- GLM-5.1 in BF16: 79 tensors indexer.proj are F32 here and BF16 there, 79 x 6144 x 32 x 2 = 31,064,064 bytes.
- Kimi-K2 at Q8_0: attn_kv_b of 61 layers, 8,388,608 weights each, besides its two parts: 0.54 GB.
- gpt-oss and DeepSeek-V4-Flash: the published files hold in Q8_0 what the source holds in BF16 (`auto` keeps it).
- DeepSeek-V3.2: the published sizes are those of V3, without the indexer, which is 0.13 % of the weights.
- Not explained: mradermacher's sizes of Nemotron-4 are 0.05 to 0.15 GB higher (they are rounded up to 0.1 GB); bartowski's Q6_K of
  Qwen3.5 (a mix of its own) 4.9 %; unsloth's IQ4_XS of Nemotron 3 Nano lies between the sizes with and without importance matrix.
- Tensor by tensor, names, shapes and types were compared once with the lists of Thireus/GGUF-Tool-Suite: GLM-5.1 and Qwen3.5-397B
  (BF16, Q8_0) and Kimi-K2 (BF16) are equal, but for indexer.proj.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('program')
    parser.add_argument('--only', action='append', choices=list(make_shapes.MODELS))
    arguments = parser.parse_args()
    known = json.loads((Path(__file__).parent / 'published_sizes.json').read_text())
    print(INTRODUCTION)
    bad = 0
    for name in arguments.only or make_shapes.MODELS:
        published = known.get(name, {})
        found, results, disk = plans(os.path.abspath(arguments.program), name, published)
        print('\n'.join(page(name, found, results, disk, published)), flush=True)
        for r in results:
            slow = 'plan' in r and '+imatrix' not in r['preset'] and (r['seconds'] > MAX_SECONDS or r['mib'] > MAX_MIB)
            if slow or 'error' in r:
                bad += 1
                print(f'{name} {r["preset"]}: {r.get("error") or "%.1f s, %.0f MiB" % (r["seconds"], r["mib"])}', file=sys.stderr)
    if not arguments.only:
        print(CLOSING)
    print(f'Times were measured on {platform.machine()}, {os.cpu_count()} cores, beside other work.')
    sys.exit(bad > 0)


if __name__ == '__main__':
    main()
