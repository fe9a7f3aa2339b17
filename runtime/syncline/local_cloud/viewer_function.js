// Runs one CloudFront function for viewer requests: its code is the argument, each line of input is
// an event as JSON, each line of output {"answer": ...} or {"error": "..."}.
'use strict';
const readline = require('node:readline');
const vm = require('node:vm');

const MILLISECONDS_MAX = 1000;
// No globals but JavaScript's own: at CloudFront there is no network, no file and no timer either.
const context = vm.createContext(Object.create(null), {
    codeGeneration: { strings: false, wasm: false },
});
const run = (code) => vm.runInContext(code, context, { timeout: MILLISECONDS_MAX });

async function main() {
    run(process.argv[2]);
    for await (const event of readline.createInterface({ input: process.stdin })) {
        let output;
        try {
            output = { answer: await run(`handler(${event})`) };
        } catch (error) {
            output = { error: String(error) };
        }
        process.stdout.write(JSON.stringify(output) + '\n');
    }
}

main();
