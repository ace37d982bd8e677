// What a quantization costs the model, in real llama.cpp (the prebuilt one of the npm package node-llama-cpp, CPU only): how
// far the token distributions of candidate GGUF files are from those of a reference file, and whether two candidates differ by
// more than chance.
//
// usage: node kld.mjs [--text FILE] [--chunks N] [--pairs] [--node FOLDER] REFERENCE.gguf CANDIDATE.gguf...
//   --text    what to evaluate; without it the project's own README.md and docs/*.md, so that anyone can repeat a run
//   --chunks  how many chunks of 512 tokens at most (default: all that the text fills)
//   --pairs   compare candidates two by two (2nd with 1st, 4th with 3rd, ...) instead of each with the first
//   --node    holds node_modules/node-llama-cpp (default: where `make -f Makefile.helpers test-deps` puts it)
//
// Chunks, BOS and scoring are those of llama-perplexity: the text is cut into chunks of 512 tokens; where the vocabulary asks
// for BOS, it stands in front of the text and replaces each chunk's first token; the second half of a chunk, 255 tokens, is
// scored. Unlike there, the reference's distribution is not rounded to 16 bits: a file against itself has divergence 0.
//
//   perplexity  exp of the mean of -ln p(the text's token)
//   mean KLD    mean over tokens of sum p_ref * ln(p_ref / p), nats
//   paired      the candidate's mean KLD minus the base candidate's, token by token on the same text; t = difference / error
//
// Standard errors (+-) come from the spread of the chunks' means: tokens of a chunk are not independent. They say how sure a
// figure is of this pair of files over more text of the kind. They do not say that a method is better than another: two
// encodings of the same standing, say from importance that differs by noise, differ as well.
//
// All files are open at once, and every token's whole distribution passes through JavaScript: meant for small models.
import {readFileSync, readdirSync} from "node:fs";
import {dirname, resolve} from "node:path";
import {fileURLToPath, pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

const kChunkTokens = 512;
const kFirstScored = kChunkTokens / 2;
const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

const {values: options, positionals: files} = parseArgs({
    allowPositionals: true,
    options: {text: {type: "string"}, chunks: {type: "string", default: "Infinity"}, pairs: {type: "boolean", default: false},
              node: {type: "string", default: resolve(root, "build", "node")}}
});
if (files.length < 2) {
    console.error("usage: node kld.mjs [--text FILE] [--chunks N] [--pairs] [--node FOLDER] REFERENCE.gguf CANDIDATE.gguf...");
    process.exit(2);
}

// ---- the text, as chunks of tokens
function readText() {
    if (options.text !== undefined) return readFileSync(options.text, "utf8");
    const docs = readdirSync(resolve(root, "docs")).filter((name) => name.endsWith(".md")).sort();
    const names = ["README.md", ...docs.map((name) => `docs/${name}`)];
    return names.map((name) => readFileSync(resolve(root, name), "utf8")).join("\n");
}

function chunksOf(model, text) {
    const tokens = model.tokenize(text);
    const bos = model.tokens.shouldPrependBosToken ? model.tokens.bos : null;
    if (bos !== null && tokens[0] !== bos) tokens.unshift(bos);
    const chunks = [];
    for (let at = 0; at + kChunkTokens <= tokens.length && chunks.length < Number(options.chunks); at += kChunkTokens) {
        const chunk = tokens.slice(at, at + kChunkTokens);
        if (bos !== null) chunk[0] = bos;
        chunks.push(chunk);
    }
    return chunks;
}

// ---- one model's distributions
// ln p of every token of the vocabulary at the chunk's scored positions: 255 arrays, [vocabulary].
async function logProbabilities(sequence, chunk) {
    await sequence.clearHistory();
    const positions = [];
    // Greedy (temperature 0) is the one sampler that leaves all logits as they are.
    const wanted = {generateNext: {logits: true, options: {temperature: 0}}};
    const input = chunk.slice(0, -1).map((token, i) => (i < kFirstScored ? token : [token, wanted]));
    await sequence.controlledEvaluate(input, {onTokenResult: (i, {next}) => {
        const logits = new Float64Array(next.logits.size);
        for (const [token, logit] of next.logits) logits[token] = logit;
        positions[i - kFirstScored] = logSoftmax(logits);
        next.logits = undefined;  // llama.cpp's answer is a Map of the vocabulary for every token; free it at once
    }});
    return positions;
}

function logSoftmax(logits) {
    const max = logits[argmax(logits)];
    let sum = 0;
    for (const logit of logits) sum += Math.exp(logit - max);
    const logSum = max + Math.log(sum);
    return logits.map((logit) => logit - logSum);
}

function argmax(array) {
    let best = 0;
    for (let i = 1; i < array.length; ++i) if (array[i] > array[best]) best = i;
    return best;
}

function divergence(reference, candidate) {
    let sum = 0;
    for (let i = 0; i < reference.length; ++i) sum += Math.exp(reference[i]) * (reference[i] - candidate[i]);
    return sum;
}

// What is kept of a model: a value per scored token, chunk after chunk.
class Scores {
    constructor(name) { Object.assign(this, {name, surprise: [], kld: [], sameTop: []}); }

    add(chunk, reference, own) {
        if (own[0].length !== reference[0].length) {
            throw new Error(`${this.name}: a vocabulary of ${own[0].length}, the reference has ${reference[0].length}`);
        }
        for (let i = 0; i < own.length; ++i) {
            this.surprise.push(-own[i][chunk[kFirstScored + i + 1]]);
            this.kld.push(divergence(reference[i], own[i]));
            this.sameTop.push(argmax(reference[i]) === argmax(own[i]) ? 1 : 0);
        }
    }
}

// ---- statistics over scored tokens
function meanAndError(values) {
    const perChunk = kChunkTokens - kFirstScored - 1;
    const means = [];
    for (let at = 0; at < values.length; at += perChunk) {
        means.push(values.slice(at, at + perChunk).reduce((sum, v) => sum + v, 0) / perChunk);
    }
    const mean = means.reduce((sum, v) => sum + v, 0) / means.length;
    const variance = means.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (means.length - 1);
    return {mean, error: Math.sqrt(variance / means.length)};
}

// Between two neighbours in order the quantile is linear.
function quantile(values, share) {
    const sorted = Float64Array.from(values).sort();
    const at = share * (sorted.length - 1);
    const low = Math.floor(at);
    return sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

// ---- printing
function printTable(rows) {
    const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
    for (const row of rows) {
        console.log(row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  "));
    }
}

function printScores(reference, candidates) {
    const rows = [["file", "perplexity", "mean KLD", "+-", "99 % KLD", "same top %"]];
    rows.push([reference.name, Math.exp(meanAndError(reference.surprise).mean).toFixed(3), "", "", "", ""]);
    for (const scores of candidates) {
        const {mean, error} = meanAndError(scores.kld);
        rows.push([scores.name, Math.exp(meanAndError(scores.surprise).mean).toFixed(3), mean.toFixed(6), error.toFixed(6),
                   quantile(scores.kld, 0.99).toFixed(6), (100 * meanAndError(scores.sameTop).mean).toFixed(3)]);
    }
    printTable(rows);
}

function printPaired(candidates) {
    const rows = [["paired: candidate - base", "KLD difference", "+-", "of base %", "t"]];
    candidates.forEach((scores, i) => {
        const base = candidates[options.pairs ? i - (i % 2) : 0];
        if (scores === base) return;
        const {mean, error} = meanAndError(scores.kld.map((kld, k) => kld - base.kld[k]));
        rows.push([`${scores.name} - ${base.name}`, mean.toExponential(3), error.toExponential(2),
                   (100 * mean / meanAndError(base.kld).mean).toFixed(2), error > 0 ? (mean / error).toFixed(1) : "0"]);
    });
    if (rows.length > 1) {
        console.log();
        printTable(rows);
    }
}

// ---- the run: all models side by side, so that only one chunk's distributions are held
const entry = resolve(options.node, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, progressLogs: false,
                              logLevel: LlamaLogLevel.error, logger: (level, text) => console.error(`${level}: ${text}`)});

const sequences = [];
for (const file of files) {
    const model = await llama.loadModel({modelPath: resolve(file)});
    const context = await model.createContext({contextSize: 2 * kChunkTokens, batchSize: kChunkTokens, threads: 1});
    sequences.push(context.getSequence());
}
const chunks = chunksOf(sequences[0].model, readText());
if (chunks.length < 2) throw new Error(`the text fills ${chunks.length} chunks of ${kChunkTokens} tokens; two are the least`);

const all = files.map((file) => new Scores(file));
const start = performance.now();
for (const [c, chunk] of chunks.entries()) {
    const distributions = await Promise.all(sequences.map((sequence) => logProbabilities(sequence, chunk)));
    distributions.forEach((own, i) => all[i].add(chunk, distributions[0], own));
    if (process.stderr.isTTY) process.stderr.write(`\r${c + 1} of ${chunks.length} chunks`);
}
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");

const [reference, ...candidates] = all;
printScores(reference, candidates);
printPaired(candidates);
console.log(`\n${chunks.length} chunks of ${kChunkTokens} tokens, ${reference.kld.length} scored; ` +
            `${((performance.now() - start) / 1000 / files.length / chunks.length).toFixed(2)} s a chunk and file`);
await llama.dispose();
