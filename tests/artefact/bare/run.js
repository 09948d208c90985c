// Runs the function of a module that main has become, and ends with what it returns.
const code = require("fs").readFileSync(process.argv[2]);
WebAssembly.instantiate(code, {}).then(({ instance }) => process.exit(instance.exports.run()));
