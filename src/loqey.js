#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// The entry, and the one file that is JavaScript: Node would load what strips types, 18 MB, for an entry in TypeScript, and keep
// it. What was compiled and stripped once is kept in files instead: the next start is faster, and weighs less without the
// compiler. Kept beside the program, for whoever may write there: code from a folder that others can write to, as the
// temporary one is, would be theirs. Where it cannot be written the start is slower, no more.
// By the environment, so that the threads have it too: a login starts one.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/loqey', import.meta.url));
enableCompileCache();

await import('./main.ts');
