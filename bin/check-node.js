// Plain JavaScript without imports of ours: it must run, and say what to do, on a Node that cannot run the rest.
const wanted = 24;
const found = process.versions.node;
if (Number(found.split(".")[0]) < wanted) {
  process.stderr.write(
    `portcullis needs Node ${wanted} or newer and this is Node ${found}: install a newer one, ` +
      "or in a checkout run 'npm ci' without --omit=dev and with install scripts allowed, which brings it.\n",
  );
  process.exit(1);
}
