import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';

export type Answer = Record<string, unknown>;

/** A Python process that is asked and answers in lines of JSON; it begins with one that says who it is. */
export class PythonWorker {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];
  #errors = '';
  #ended: Error | undefined;
  /** Its first line; rejected when Python, or a module that the program needs, is missing. */
  readonly ready: Promise<Answer>;

  constructor(script: string, ...args: readonly string[]) {
    const python = process.env.PYTHON ?? (process.platform === 'win32' ? 'python' : 'python3');
    this.#child = spawn(python, [script, ...args]);
    this.#child.on('error', (error) => this.#end(error));
    this.#child.on('close', () => {
      const lines = this.#errors.trim().split('\n');
      // Exceptions of torch go on for lines after the one that says what happened.
      const last =
        lines.findLast((line) => /^[\w.]*(?:Error|Exception|Exit)\b/.test(line)) ?? lines.at(-1) ?? '';
      this.#end(new Error(last === '' ? 'the Python process ended' : last));
    });
    // A pipe that breaks is told by 'close', with the reason Python gave.
    this.#child.stdin.on('error', () => undefined);
    this.#child.stderr.on(
      'data',
      (text: Buffer) => (this.#errors = (this.#errors + text.toString()).slice(-4000)),
    );
    createInterface(this.#child.stdout).on('line', (line) => {
      this.#waiting.shift()?.resolve(JSON.parse(line) as Answer);
    });
    this.ready = this.#answer();
  }

  async ask(request: Answer): Promise<Answer> {
    await this.ready;
    const answer = this.#answer();
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const result = await answer;
    if (typeof result.error === 'string') throw new Error(result.error);
    return result;
  }

  close(): void {
    this.#child.stdin.end();
  }

  /** Ends it in the middle of whatever it does. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #answer(): Promise<Answer> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
  }
}
