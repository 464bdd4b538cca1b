import { deviceConformance } from '../contract/device-conformance.ts';
import { embeddedWire } from '../support/wires.ts';

deviceConformance('the embedded broker', embeddedWire, { flips: 4_432, rubbish: 20_000 });
