import { envExample } from '../src/platform/config-text.ts';

process.stdout.write(envExample());
