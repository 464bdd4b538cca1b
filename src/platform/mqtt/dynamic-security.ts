import { createHash, pbkdf2Sync, randomBytes } from 'node:crypto';
import { component } from '../lifecycle.ts';
import { silentLogger, type Logger } from '../logger.ts';
import { createConnection, type ConnectionOptions } from './connection.ts';
import { BrokerUnavailable, type BrokerHealth, type CredentialRegistry, type DeviceCredential } from './port.ts';

const COMMANDS = '$CONTROL/dynamic-security/v1';
const ANSWERS = '$CONTROL/dynamic-security/v1/response';

/** `login`: the provisioner, the one identity that may speak to the plugin. `timeoutMs`: for one exchange with it as well. */
export interface DynamicSecurityOptions extends Pick<ConnectionOptions, 'url' | 'login' | 'tls' | 'keepaliveSeconds' | 'timeoutMs'> {
  readonly logger?: Logger;
}

export interface DynamicSecurity extends CredentialRegistry {
  start(): Promise<void>;
  stop(): Promise<void>;
  health(): BrokerHealth;
}

/** One command of the plugin, and its answer (mosquitto.org/documentation/dynamic-security). */
type Command = { readonly command: string } & Readonly<Record<string, unknown>>;
interface Answer {
  readonly command?: string;
  readonly error?: string;
  readonly data?: { readonly client?: { readonly textdescription?: string; readonly disabled?: boolean } };
  readonly correlationData?: string;
}

interface Exchange {
  readonly id: string;
  readonly answers: (Answer | undefined)[];
  missing: number;
  resolve(answers: readonly Answer[]): void;
  reject(error: Error): void;
  readonly timeout: NodeJS.Timeout;
}

/**
 * Devices at Mosquitto: each has a role of its own with its literal topics, and a client bound to its client id; all
 * else is denied. What was provisioned is written into the client's description as a digest, so that a repeat changes
 * nothing: any change ends the device's live session.
 */
export function createDynamicSecurity(options: DynamicSecurityOptions): DynamicSecurity {
  const { timeoutMs = 10_000, logger = silentLogger } = options;
  const connection = createConnection({ ...options, logger });
  const { client } = connection;
  const exchanges = new Map<string, Exchange>();
  let subscribed = false;
  let onSubscribed: (() => void) | undefined;

  client.on('connect', () => {
    client.subscribe(ANSWERS, { qos: 1 }, (error) => {
      if (error !== null) {
        logger.error({ err: error }, 'the MQTT broker refused the provisioner: check its role and the dynamic security plugin');
        connection.reset();
        return;
      }
      subscribed = true;
      onSubscribed?.();
    });
  });
  client.on('close', () => {
    subscribed = false;
    for (const exchange of exchanges.values()) exchange.reject(new BrokerUnavailable('The connection to the MQTT broker ended'));
  });
  client.on('message', (topic, payload) => {
    if (topic === ANSWERS) receive(payload);
  });

  function receive(payload: Buffer): void {
    let answers: unknown;
    try {
      answers = (JSON.parse(payload.toString()) as { responses?: unknown }).responses;
    } catch {
      answers = undefined;
    }
    if (!Array.isArray(answers)) {
      logger.warn('an answer of the dynamic security plugin is not readable');
      return;
    }
    for (const answer of answers as Answer[]) {
      const [id, index] = answer.correlationData?.split('/') ?? [];
      const exchange = exchanges.get(id ?? '');
      if (exchange === undefined || exchange.answers[Number(index)] !== undefined) continue; // another provisioner's, or late
      exchange.answers[Number(index)] = answer;
      if (--exchange.missing === 0) exchange.resolve(exchange.answers.map((given) => given!));
    }
  }

  function ask(commands: readonly Command[]): Promise<readonly Answer[]> {
    if (!client.connected || !subscribed) {
      return Promise.reject(new BrokerUnavailable(`The provisioner is not connected to the MQTT broker: ${connection.lastError() ?? 'not started'}`));
    }
    return new Promise((resolve, reject) => {
      const id = randomBytes(8).toString('hex');
      const settle = (): void => {
        clearTimeout(exchange.timeout);
        exchanges.delete(id);
      };
      const exchange: Exchange = {
        id,
        answers: [],
        missing: commands.length,
        resolve: (answers) => (settle(), resolve(answers)),
        reject: (error) => (settle(), reject(error)),
        timeout: setTimeout(() => exchange.reject(new BrokerUnavailable(`The dynamic security plugin did not answer within ${timeoutMs} ms`)), timeoutMs),
      };
      exchanges.set(id, exchange);
      const body = { commands: commands.map((command, index) => ({ ...command, correlationData: `${id}/${index}` })) };
      client.publish(COMMANDS, JSON.stringify(body), { qos: 1 }, (error) => {
        if (error instanceof Error) exchange.reject(new BrokerUnavailable(`The MQTT broker refused a provisioning command: ${error.message}`));
      });
    });
  }

  /** Asks for one thing; an answer that says `unless` counts as done. */
  async function must(command: Command, unless?: string): Promise<boolean> {
    const [answer] = await ask([command]);
    if (answer?.error === undefined) return true;
    if (unless !== undefined && answer.error === unless) return false;
    throw new BrokerUnavailable(`The dynamic security plugin refused ${command.command}: ${answer.error}`);
  }

  async function provision(credential: DeviceCredential, passwords: readonly string[]): Promise<void> {
    // Mosquitto holds one password per client. A device tries both of a rotation in turn, so the first is enough.
    const password = passwords[0];
    if (password === undefined) throw new Error('A device needs a password to be provisioned');
    const description = digestOf(credential, password);
    const { username, clientId } = credential;
    const [known] = await ask([{ command: 'getClient', username }]);
    if (known?.error === undefined && known?.data?.client?.textdescription === description) return;

    const role = { rolename: username, acls: deviceRules(credential) };
    const device = { username, password, clientid: clientId, textdescription: description, roles: [{ rolename: username }] };
    if (known?.error === undefined) {
      // In one message: either change ends the live session, and who comes back between them would be refused.
      const answers = await ask([{ command: 'modifyRole', ...role }, { command: 'modifyClient', ...device }]);
      if (answers.every(({ error }) => error === undefined)) return;
    }
    if (!(await must({ command: 'createRole', ...role }, 'Role already exists'))) await must({ command: 'modifyRole', ...role });
    if (!(await must({ command: 'createClient', ...device }, 'Client already exists'))) await must({ command: 'modifyClient', ...device });
  }

  async function revoke(deviceId: string): Promise<void> {
    await must({ command: 'deleteClient', username: deviceId }, 'Client not found');
    await must({ command: 'deleteRole', rolename: deviceId }, 'Role not found');
  }

  const lifecycle = component(
    async () => {
      connection.open();
      if (subscribed) return;
      await new Promise<void>((resolve) => {
        const timeout = setTimeout(resolve, 5_000);
        onSubscribed = () => (clearTimeout(timeout), resolve());
      });
    },
    () => connection.close(),
  );
  return {
    ...lifecycle,
    provision,
    revoke,
    health: () => (subscribed ? { healthy: true, detail: 'connected' } : { healthy: false, detail: connection.lastError() ?? 'not connected' }),
  };
}

function digestOf(credential: DeviceCredential, password: string): string {
  const { username, clientId, publishTopics, subscribeTopics } = credential;
  const passwordHash = createHash('sha256').update(password).digest('hex');
  return `v1 ${createHash('sha256').update(JSON.stringify([username, clientId, passwordHash, publishTopics, subscribeTopics])).digest('hex')}`;
}

interface Rule {
  readonly acltype: 'publishClientSend' | 'publishClientReceive' | 'subscribeLiteral';
  readonly topic: string;
  readonly allow: true;
}

function rules(acltype: Rule['acltype'], topics: readonly string[]): Rule[] {
  return topics.map((topic) => ({ acltype, topic, allow: true }));
}

function deviceRules({ publishTopics, subscribeTopics }: DeviceCredential): readonly Rule[] {
  return [
    ...rules('publishClientSend', publishTopics),
    ...rules('subscribeLiteral', subscribeTopics),
    ...rules('publishClientReceive', subscribeTopics),
  ];
}

// Bootstrap

export interface MosquittoServices {
  readonly uplink: ServiceLogin;
  readonly downlink: ServiceLogin;
  readonly provisioner: ServiceLogin;
  readonly monitor?: ServiceLogin;
  /** What the uplink may subscribe to; each also as a member of the shared group `bridge`. */
  readonly uplinkFilters: readonly string[];
  /** What the downlink may publish to; wildcards allowed. */
  readonly downlinkTopics: readonly string[];
}

export interface ServiceLogin {
  readonly username: string;
  readonly password: string;
}

interface SecurityFile {
  readonly defaultACLAccess: Readonly<Record<'publishClientSend' | 'publishClientReceive' | 'subscribe' | 'unsubscribe', boolean>>;
  readonly clients: readonly { readonly username: string }[];
  readonly roles: readonly { readonly rolename: string }[];
}

export const SHARED_GROUP = 'bridge';

/**
 * The plugin's file as Mosquitto needs it to start: the services' identities, and nothing allowed to anyone else.
 * `existing` is the file of a broker that ran before (stopped now: it writes the file itself); its devices stay.
 */
export function bootstrapMosquitto(services: MosquittoServices, existing?: string): string {
  const known: SecurityFile | undefined = existing === undefined ? undefined : (JSON.parse(existing) as SecurityFile);
  const { uplinkFilters, downlinkTopics } = services;
  const own: { readonly login: ServiceLogin; readonly acls: readonly Rule[] }[] = [
    {
      login: services.uplink,
      acls: [
        ...rules('subscribeLiteral', uplinkFilters),
        ...rules('subscribeLiteral', uplinkFilters.map((filter) => `$share/${SHARED_GROUP}/${filter}`)),
        ...rules('publishClientReceive', uplinkFilters),
      ],
    },
    { login: services.downlink, acls: rules('publishClientSend', downlinkTopics) },
    {
      login: services.provisioner,
      acls: [...rules('publishClientSend', [COMMANDS]), ...rules('subscribeLiteral', [ANSWERS]), ...rules('publishClientReceive', [ANSWERS])],
    },
    ...(services.monitor === undefined
      ? []
      : [{ login: services.monitor, acls: [...rules('subscribeLiteral', ['$SYS/#']), ...rules('publishClientReceive', ['$SYS/#'])] }]),
  ];
  const names = new Set(own.map(({ login }) => login.username));
  const file = {
    defaultACLAccess: { publishClientSend: false, publishClientReceive: false, subscribe: false, unsubscribe: true },
    clients: [
      ...own.map(({ login }) => ({ username: login.username, ...hashed(login.password), roles: [{ rolename: login.username }] })),
      ...(known?.clients ?? []).filter(({ username }) => !names.has(username)),
    ],
    groups: [],
    roles: [
      ...own.map(({ login, acls }) => ({ rolename: login.username, acls })),
      ...(known?.roles ?? []).filter(({ rolename }) => !names.has(rolename)),
    ],
  };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

/** As the plugin does it: PBKDF2 with SHA-512. */
function hashed(password: string): { readonly password: string; readonly salt: string; readonly iterations: number } {
  const salt = randomBytes(12);
  const iterations = 20_000;
  return { password: pbkdf2Sync(password, salt, iterations, 64, 'sha512').toString('base64'), salt: salt.toString('base64'), iterations };
}
