import { connect, type Socket } from 'node:net';
import { generate, parser, type IConnectPacket, type Packet } from 'mqtt-packet';

export interface Login {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

/** One MQTT connection that says what it is told to, right or wrong. */
export class Wire {
  readonly socket: Socket;
  readonly #waiting = new Map<number, (acknowledged: boolean) => void>();
  #nextId = 1;
  #connack: ((accepted: boolean) => void) | undefined;
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    const packets = parser({ protocolVersion: 4 });
    packets.on('packet', (packet: Packet) => this.#heard(packet));
    packets.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => void packets.parse(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#connack?.(false);
      for (const done of this.#waiting.values()) done(false);
      this.#waiting.clear();
    });
  }

  static async open(host: string, port: number): Promise<Wire> {
    const socket = connect({ host, port, noDelay: true });
    const wire = new Wire(socket);
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return wire;
  }

  /** Answers whether it was let in. */
  logIn(login: Login): Promise<boolean> {
    return new Promise((resolve) => {
      this.#connack = resolve;
      const packet: IConnectPacket = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: login.clientId, keepalive: 60, username: login.username, password: Buffer.from(login.password) };
      this.socket.write(generate(packet));
      setTimeout(() => resolve(false), 20_000).unref();
    });
  }

  /** Resolves when the broker has answered, or hung up. With QoS 0: when it is written. */
  publish(topic: string, payload: Buffer, options: { readonly qos: 0 | 1 | 2; readonly retain: boolean; readonly dup: boolean }): Promise<boolean> {
    if (this.closed) return Promise.resolve(false);
    const messageId = this.#nextId;
    this.#nextId = (this.#nextId % 65_535) + 1;
    let bytes;
    try {
      bytes = generate({ cmd: 'publish', topic, payload, messageId, ...options });
    } catch {
      return Promise.resolve(false);
    }
    if (options.qos === 0) {
      return new Promise((resolve) => {
        if (this.socket.write(bytes)) resolve(true);
        else this.socket.once('drain', () => resolve(true)).once('close', () => resolve(false));
      });
    }
    return new Promise((resolve) => {
      this.#waiting.set(messageId, resolve);
      this.socket.write(bytes);
    });
  }

  subscribe(topic: string): void {
    if (!this.closed) this.socket.write(generate({ cmd: 'subscribe', messageId: 65_535, subscriptions: [{ topic, qos: 1 }] }));
  }

  ping(): void {
    if (!this.closed) this.socket.write(generate({ cmd: 'pingreq' }));
  }

  close(): void {
    this.socket.destroy();
  }

  #heard(packet: Packet): void {
    if (packet.cmd === 'connack') this.#connack?.(packet.returnCode === 0);
    if (packet.cmd === 'publish' && packet.qos === 1 && packet.messageId !== undefined) this.socket.write(generate({ cmd: 'puback', messageId: packet.messageId }));
    if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec') return;
    const id = packet.messageId ?? 0;
    if (packet.cmd === 'pubrec') this.socket.write(generate({ cmd: 'pubrel', messageId: id }));
    this.#waiting.get(id)?.(true);
    this.#waiting.delete(id);
  }
}
