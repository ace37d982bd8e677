// As tests/oracle/generate.mjs, for many models in one process, since starting it takes most of the time: prints a JSON array with
// {"prompt_tokens", "greedy_tokens"} or {"error"} for each. Before it opens a model it names it on stderr, in case it dies of it.
//
// usage: node generate_each.mjs NODE_FOLDER TOKENS PROMPT MODEL.gguf...
import {resolve} from "node:path";
import {pathToFileURL} from "node:url";

const [folder, count, prompt, ...models] = process.argv.slice(2);
const entry = resolve(folder, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, progressLogs: false,
                              logLevel: LlamaLogLevel.warn, logger: (level, message) => console.error(`${level}: ${message}`)});

async function run(path) {
    const model = await llama.loadModel({modelPath: resolve(path)});
    const context = await model.createContext({contextSize: 64, threads: 1});
    const promptTokens = model.tokenize(prompt), greedyTokens = [];
    for await (const token of context.getSequence().evaluate(promptTokens, {temperature: 0, yieldEogToken: true})) {
        greedyTokens.push(token);
        if (greedyTokens.length >= Number(count)) break;
    }
    await context.dispose();
    await model.dispose();
    return {prompt_tokens: promptTokens, greedy_tokens: greedyTokens};
}

const results = [];
for (const path of models) {
    console.error(`opening ${path}`);
    results.push(await run(path).catch(error => ({error: String(error)})));
}
console.log(JSON.stringify(results));
await llama.dispose();
