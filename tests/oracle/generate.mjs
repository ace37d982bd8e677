// Runs a GGUF file in real llama.cpp (the prebuilt one of the npm package node-llama-cpp, CPU only) and prints what it makes
// of it as JSON: {"load_ms", "runs": [{"prompt", "prompt_tokens", "greedy_tokens", "text"}]}.
//
// usage: node generate.mjs NODE_FOLDER MODEL.gguf TOKENS PROMPT...
//   NODE_FOLDER  holds node_modules/node-llama-cpp; nothing is built or downloaded
//   MODEL.gguf   a single file or the first shard of a split
import {resolve} from "node:path";
import {pathToFileURL} from "node:url";

const [folder, modelPath, count, ...prompts] = process.argv.slice(2);
const entry = resolve(folder, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);

const llama = await getLlama({gpu: false, build: "never", skipDownload: true, progressLogs: false,
                              logLevel: LlamaLogLevel.warn, logger: (level, message) => console.error(`${level}: ${message}`)});
const start = performance.now();
const model = await llama.loadModel({modelPath: resolve(modelPath)});
const loadMs = Math.round(performance.now() - start);

const runs = [];
for (const prompt of prompts) {
    const context = await model.createContext({contextSize: 256, threads: 1});
    const promptTokens = model.tokenize(prompt);
    const greedyTokens = [];
    for await (const token of context.getSequence().evaluate(promptTokens, {temperature: 0, yieldEogToken: true})) {
        greedyTokens.push(token);
        if (greedyTokens.length >= Number(count)) break;
    }
    runs.push({prompt, prompt_tokens: promptTokens, greedy_tokens: greedyTokens, text: model.detokenize(greedyTokens)});
    await context.dispose();
}
console.log(JSON.stringify({load_ms: loadMs, runs}));
await llama.dispose();
