// node pyodide.mjs FOLDER-OF-NODE-MODULES FOLDER-OF-PACKAGES PROGRAM.py: runs a program in Pyodide, in Node.
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const [modules, packages, program] = process.argv.slice(2).map((name) => path.resolve(name));
const { loadPyodide } = await import(pathToFileURL(path.join(modules, "pyodide", "pyodide.mjs")));
const pyodide = await loadPyodide();
for (const folder of [packages, path.dirname(program)]) {
  pyodide.FS.mkdirTree(folder);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: folder }, folder);
}
pyodide.globals.set("_given", pyodide.toPy({ packages, program }));
process.exitCode = await pyodide.runPythonAsync(`
import ast, inspect, sys

async def run(packages, program):
    sys.path.insert(0, packages)
    with open(program, encoding="utf-8") as file:
        code = compile(file.read(), program, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    try:
        result = eval(code, {"__name__": "__main__", "__file__": program})
        if inspect.iscoroutine(result):
            await result
    except SystemExit as exc:
        return exc.code or 0
    return 0

await run(**_given)
`);
