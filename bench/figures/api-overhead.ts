import { interleave, reading, type Figure, type Lane } from '../support/figure.ts';
import { startProgram } from '../support/program.ts';
import type { ApiCalls } from '../support/api-program.ts';
import { hammer } from './http.ts';

const CONNECTIONS = 32;

/** What the API itself costs: routing, tokens, standing, validation, answer, with everything behind it in memory. */
export const apiOverhead: Figure = {
  name: 'api-overhead',
  about: 'Routes with everything behind them in memory, on 32 connections; beside an empty Express route.',
  beyond: 'A token, schemas in and out, the identity of the request, headers, limits and figures of each call.',
  engines: ['embedded'],
  async run({ size }) {
    const program = await startProgram<ApiCalls>('api-program');
    try {
      const { url, empty, token, deviceId } = await program.call.told();
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const lane = (name: string, to: string, body?: string): Lane => ({
        name,
        slice: (ms) => hammer(CONNECTIONS, ms, to, body === undefined ? 'GET' : 'POST', () => ({ headers: to === empty ? {} : headers, ...(body === undefined ? {} : { body }) })),
      });
      const taken = await interleave(
        [
          lane('limit', empty),
          lane('devices', `${url}/api/v1/devices/my-devices`),
          lane('create', `${url}/api/v1/access/create-link`, JSON.stringify({ device_id: deviceId, max_uses: 3, name: 'Parcel' })),
          lane('health', `${url}/health/live`),
        ],
        size.pace,
      );
      const line = (what: string, of: string) => reading(taken, { figure: 'api-overhead', what, unit: '/s', of: `${of}.rate`, limit: { what: 'an empty Express route', of: 'limit.rate' } });
      return [line('an owner’s boxes, the API alone', 'devices'), line('create a link, the API alone', 'create'), line('health, the API alone', 'health')];
    } finally {
      await program.stop();
    }
  },
};
