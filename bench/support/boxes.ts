import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { generate } from 'mqtt-packet';
import { deriveKeys, mqttPassword, type DeviceKeys } from '../../src/bridge/protocol/keys.ts';
import { signReport } from '../../src/bridge/protocol/signature.ts';

/** Of the protocol, section 3: how many reports a box may have unacknowledged. */
export const IN_FLIGHT = 4;

export interface BoxLogin {
  readonly deviceId: string;
  /** 64 hex. */
  readonly master: string;
}

/** A box that is only a socket and its reports: thousands of them fit into one process. */
export interface SocketBox {
  readonly socket: Socket;
  /** The next heartbeats, ready to send. */
  readonly packets: Buffer[];
  prepare(count: number): void;
}

const topic = (deviceId: string, kind: string) => `loqey/devices/${deviceId}/${kind}`;
/** Reports of each connection come after those of the one before. */
const firstReport = () => Math.floor(Date.now() / 1_000) * 1_000;

/** Connects and says hello; resolves when the hello was acknowledged. */
export async function openBox({ deviceId, master }: BoxLogin, port: number): Promise<SocketBox> {
  const keys = deriveKeys(Buffer.from(master, 'hex'), deviceId, 1);
  const say = reports(deviceId, keys);
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const heard = (bytes: number) =>
    new Promise<Buffer>((resolve, reject) => {
      socket.once('error', reject);
      let got = Buffer.alloc(0);
      const onData = (chunk: Buffer) => {
        got = Buffer.concat([got, chunk]);
        if (got.length < bytes) return;
        socket.off('data', onData);
        resolve(got);
      };
      socket.on('data', onData);
    });
  socket.write(
    generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: `device_${deviceId}`, keepalive: 120, username: deviceId, password: Buffer.from(mqttPassword(keys)) }),
  );
  const connack = await heard(4);
  if (connack[3] !== 0) throw new Error(`CONNACK ${connack[3]}`);
  socket.write(say('status'));
  await heard(4);
  const packets: Buffer[] = [];
  return {
    socket,
    packets,
    prepare(count) {
      while (packets.length < count) packets.push(say('heartbeat'));
    },
  };
}

/** One signed report after the other, as packets. */
function reports(deviceId: string, keys: DeviceKeys): (kind: 'status' | 'heartbeat') => Buffer {
  const connectId = randomBytes(8).toString('hex');
  const journal = { journal_id: 'a1b2c3d4e5f60718', last_seq: 0, config_version: 0 };
  const first = firstReport();
  let n = 0;
  return (kind) => {
    const base = { v: 1, device_id: deviceId, report_seq: first + ++n, key_version: 1, connect_id: connectId, time_ok: true, timestamp: new Date().toISOString() };
    const body =
      kind === 'status'
        ? { ...base, reason: 'hello', status: 'locked', online: true, battery: 85, ...journal, last_executed: [], firmware_version: '1.0.0', protocols: [1], capabilities: ['bolt_sensor'] }
        : { ...base, online: true, battery: 85, signal_strength: -61, uptime: n, ...journal, rejects: { bad_signature: 0, retained: 0, too_large: 0, malformed: 0 } };
    return generate({ cmd: 'publish', topic: topic(deviceId, kind), payload: signReport(kind, body, keys.rpt), qos: 1, retain: false, dup: false, messageId: (n % 65_535) + 1 });
  };
}
