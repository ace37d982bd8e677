// Tokenizes texts with a GGUF file's vocabulary in real llama.cpp (the prebuilt one of the npm package node-llama-cpp) and prints
// their ids as JSON: [[1, 2], ...]. Special tokens in a text are recognised; none are added.
//
// usage: node tokenize.mjs NODE_FOLDER MODEL.gguf TEXTS.json
//   MODEL.gguf   may be without tensors
//   TEXTS.json   a list of texts
import {readFileSync} from "node:fs";
import {resolve} from "node:path";
import {pathToFileURL} from "node:url";

const [folder, modelPath, textsPath] = process.argv.slice(2);
const entry = resolve(folder, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);

const llama = await getLlama({gpu: false, build: "never", skipDownload: true, progressLogs: false,
                              logLevel: LlamaLogLevel.error, logger: (level, message) => console.error(`${level}: ${message}`)});
const model = await llama.loadModel({modelPath: resolve(modelPath), vocabOnly: true});
const texts = JSON.parse(readFileSync(textsPath, "utf8"));
console.log(JSON.stringify(texts.map((text) => Array.from(model.tokenize(text, true)))));
await llama.dispose();
