// Spans by the SDK of JavaScript, as a service would make them: node main.js HOST:PORT TRACES COMPRESSION.
"use strict";
const { ROOT_CONTEXT, SpanKind, SpanStatusCode, diag, trace } = require("@opentelemetry/api");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-grpc");
const { CompressionAlgorithm } = require("@opentelemetry/otlp-exporter-base");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");

const [target, count, compression] = process.argv.slice(2);
const fail = (...words) => {
  console.error(...words);
  process.exitCode = 1;
};
diag.setLogger({ error: fail, warn: fail, info() {}, debug() {}, verbose() {} });

const exporter = new OTLPTraceExporter({
  url: `http://${target}`,
  compression: compression === "gzip" ? CompressionAlgorithm.GZIP : CompressionAlgorithm.NONE,
});
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "node-shop" }),
  spanProcessors: [new BatchSpanProcessor(exporter, { maxQueueSize: 10000 })],
});
const tracer = provider.getTracer("one", "1.2");

// A trace of two spans: with attributes of every kind, an event, a link and an error.
for (let i = 0; i < Number(count); i++) {
  const attributes = { i, odd: i % 2 === 1, half: i / 2, zones: ["a", "b"], text: `ü${i}` };
  const parent = tracer.startSpan("GET /", { kind: SpanKind.SERVER, attributes }, ROOT_CONTEXT);
  parent.addEvent("began", { at: i });
  const inside = trace.setSpan(ROOT_CONTEXT, parent);
  const child = tracer.startSpan("SELECT", { links: [{ context: parent.spanContext() }] }, inside);
  child.setStatus({ code: SpanStatusCode.ERROR, message: "no such row" });
  child.end();
  parent.end();
}
provider.shutdown().catch(fail);
