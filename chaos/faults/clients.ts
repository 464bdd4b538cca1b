import { connect as connectTcp } from 'node:net';
import { WebSocket } from 'ws';
import type { Fault } from '../faults.ts';
import { pause } from '../model.ts';
import { gatherCrowd } from '../people.ts';

const CROWD = 40;

export const byClients: readonly Fault[] = [
  {
    name: 'reconnect storm of all boxes',
    async strike({ world, model, crew, dice }) {
      if (crew.crowd.length === 0) await gatherCrowd(world, crew, CROWD, dice.between(1, 1_000_000));
      for (const box of [...crew.crowd, ...model.boxes.map(({ lockbox }) => lockbox)]) box.dropConnection();
      await pause(dice.between(500, 1_500));
    },
  },
  {
    name: 'listeners that read nothing',
    async strike({ world, model, dice }) {
      const { host } = new URL(world.url);
      const sockets = Array.from({ length: 30 }, () => {
        const socket = new WebSocket(`ws://${host}/api/v1/ws/device-status`, { headers: { authorization: `Bearer ${dice.oneOf(model.owners).token}` } });
        socket.on('error', () => undefined);
        socket.on('open', () => socket.pause());
        return socket;
      });
      await pause(dice.between(1_000, 3_000));
      for (const socket of sockets) socket.terminate();
    },
  },
  {
    name: 'requests that never end',
    async strike({ world, dice }) {
      const { hostname, port } = new URL(world.url);
      const sockets = Array.from({ length: 30 }, () => {
        const socket = connectTcp(Number(port), hostname);
        socket.on('error', () => undefined);
        socket.on('connect', () => socket.write(dice.oneOf(['POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{', 'GET /api/v1/', 'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n'])));
        socket.pause();
        return socket;
      });
      await pause(dice.between(500, 2_000));
      for (const socket of sockets) socket.destroy();
    },
  },
];
