// What a Decoder does where several files come at once, a worker fails, or decoding is stopped. Arguments: the folder
// that `feds web` wrote, and two files of different networks; prints what became of them as JSON.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { control } from "./browser.mjs";

const [folder, ...paths] = process.argv.slice(2);
const { Decoder } = await import(pathToFileURL(`${folder}/decoder.js`));
const [a, b] = paths.map((path) => new Uint8Array(readFileSync(path)));
const networkOf = { a: "mini-light-student", b: "mini-light-corners" };
const told = (decoding) => decoding.then(({ rgba }) => createHash("sha256").update(rgba).digest("hex"), (fault) => fault.message);
const decoder = new Decoder({ threads: 2 });
const found = {};

found.alone = [await told(decoder.decode(a)), await told(decoder.decode(b))];
found.together = await Promise.all([a, b, a].map((file) => told(decoder.decode(file))));

control.delays = { [networkOf.a]: 100 }; // b is decoded while the network of a is on its way
const late = told(decoder.decode(a));
found.meanwhile = await Promise.all([late, told(decoder.decode(b))]);

await decoder.decode(b);
const cut = told(decoder.decode(a));
setTimeout(() => decoder.cancel(), 30); // while the network is on its way: no worker has been asked yet
found.stopped = [await cut, await told(decoder.decode(b)), decoder.working];

control.delays = {};
control.failing = 1;
const fresh = new Decoder({ threads: 1 });
found.failed = [await told(fresh.decode(a)), await told(fresh.decode(a))];

console.log(JSON.stringify(found));
process.exit(0);
