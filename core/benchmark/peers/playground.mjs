// The design of TensorFlow Playground's engine, written anew: one object a unit, one object a connection, one sample at
// a time, gradients added up over a minibatch. Runs in Node.js. It has one output and the squared error, as theirs has.

import { createInterface } from "node:readline";

function makeUnit(activation, derivative) {
  return { bias: 0.1, into: [], out: [], sum: 0, value: 0, valueSlope: 0, sumSlope: 0, gathered: 0, count: 0,
    activation, derivative };
}

function makeNetwork(widths) {
  const layers = [];
  widths.forEach((width, depth) => {
    const last = depth === widths.length - 1;
    const activation = last ? (x) => x : Math.tanh;
    const derivative = last ? () => 1 : (x) => 1 - Math.tanh(x) ** 2;
    const layer = Array.from({ length: width }, () => makeUnit(activation, derivative));
    if (depth > 0) {
      for (const unit of layer) {
        for (const source of layers[depth - 1]) {
          const link = { source, target: unit, weight: Math.random() - 0.5, gathered: 0, count: 0 };
          source.out.push(link);
          unit.into.push(link);
        }
      }
    }
    layers.push(layer);
  });
  return layers;
}

function forward(layers, sample) {
  layers[0].forEach((unit, i) => { unit.value = sample[i]; });
  for (let depth = 1; depth < layers.length; depth++) {
    for (const unit of layers[depth]) {
      unit.sum = unit.bias;
      for (const link of unit.into) unit.sum += link.weight * link.source.value;
      unit.value = unit.activation(unit.sum);
    }
  }
}

function backward(layers, target) {
  const output = layers[layers.length - 1][0];
  output.valueSlope = output.value - target;
  for (let depth = layers.length - 1; depth >= 1; depth--) {
    for (const unit of layers[depth]) {
      unit.sumSlope = unit.valueSlope * unit.derivative(unit.sum);
      unit.gathered += unit.sumSlope;
      unit.count += 1;
    }
    for (const unit of layers[depth]) {
      for (const link of unit.into) {
        link.gathered += unit.sumSlope * link.source.value;
        link.count += 1;
      }
    }
    if (depth === 1) continue;
    for (const unit of layers[depth - 1]) {
      unit.valueSlope = 0;
      for (const link of unit.out) unit.valueSlope += link.weight * link.target.sumSlope;
    }
  }
}

function update(layers, rate) {
  for (let depth = 1; depth < layers.length; depth++) {
    for (const unit of layers[depth]) {
      unit.bias -= (rate * unit.gathered) / unit.count;
      unit.gathered = 0;
      unit.count = 0;
      for (const link of unit.into) {
        link.weight -= (rate / link.count) * link.gathered;
        link.gathered = 0;
        link.count = 0;
      }
    }
  }
}

let take;
for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (told.workload) {
    const work = told.workload;
    const hidden = work.layers.filter((layer) => layer.kind === "dense").map((layer) => layer.units);
    hidden[hidden.length - 1] = 1;
    const layers = makeNetwork([...work.inputs, ...hidden]);
    const samples = Array.from({ length: 1024 }, () => work.inputs.map(() => Math.random() * 2 - 1));
    const targets = samples.map(() => (Math.random() < 0.5 ? -1 : 1));
    let place = 0;
    take = (steps) => {
      for (let step = 0; step < steps; step++) {
        for (let i = 0; i < work.batch; i++) {
          forward(layers, samples[place]);
          backward(layers, targets[place]);
          place = (place + 1) % samples.length;
        }
        update(layers, work.training.optimizer.learning_rate);
      }
    };
    take(200);
    console.log(JSON.stringify({ version: process.version, threads: 1 }));
  } else {
    const began = process.hrtime.bigint();
    take(told.steps);
    console.log(JSON.stringify({ seconds: Number(process.hrtime.bigint() - began) / 1e9 }));
  }
}
