/** One request of a file in the form of the REST Client: `###`, comments, a request line, headers, a body. */
export interface FileRequest {
  readonly title: string;
  /** Of `# @name`: what later requests call it. */
  readonly name: string | undefined;
  /** Of the comment that is a number. */
  readonly status: number;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export interface HttpFile {
  /** Of lines `@name = value`; values may name earlier ones. */
  readonly variables: Readonly<Record<string, string>>;
  readonly requests: readonly FileRequest[];
}

export function readHttpFile(source: string): HttpFile {
  const [head = '', ...blocks] = source.split(/^###/m);
  const variables = Object.fromEntries([...head.matchAll(/^@(\w+) = (.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
  return { variables, requests: blocks.map(requestOf) };
}

function requestOf(block: string): FileRequest {
  const [title = '', ...lines] = block.split('\n');
  const comments = lines.filter((line) => line.startsWith('#')).map((line) => line.slice(1).trim());
  const rest = lines.filter((line) => !line.startsWith('#'));
  const begin = rest.findIndex((line) => line.trim() !== '');
  const end = rest.indexOf('', begin);
  const [line = '', ...headers] = rest.slice(begin, end < 0 ? undefined : end);
  const space = line.indexOf(' ');
  const body = end < 0 ? '' : rest.slice(end + 1).join('\n').trim();
  return {
    title: title.trim(),
    name: comments.find((comment) => comment.startsWith('@name '))?.slice('@name '.length),
    status: Number(comments.find((comment) => /^\d{3}$/.test(comment))),
    method: line.slice(0, space),
    url: line.slice(space + 1),
    headers: Object.fromEntries(headers.map((header) => [header.slice(0, header.indexOf(':')), header.slice(header.indexOf(':') + 1).trim()])),
    body: body === '' ? undefined : body,
  };
}

/** Fills in `{{name}}` and `{{request.response.body.$.member}}`. */
export function filler(variables: Readonly<Record<string, string>>, answers: ReadonlyMap<string, unknown>): (text: string) => string {
  const fill = (text: string): string =>
    text.replace(/\{\{([^}]+)\}\}/g, (_, expression: string) => {
      const [name = '', path] = expression.split('.response.body.$.');
      if (path === undefined) {
        const value = variables[name];
        if (value === undefined) throw new Error(`There is no @${name}`);
        return fill(value);
      }
      const value = path.split('.').reduce<unknown>((at, member) => (at as Record<string, unknown> | undefined)?.[member], answers.get(name));
      if (typeof value !== 'string') throw new Error(`The answer to ${name} has no ${path}`);
      return value;
    });
  return fill;
}
