/** The messages of the protocol, as far as this port knows them. */

export type Numbers = number[];

/** JSON has no NaN and no infinity: they come and go as text. */
export type JsonNumber = number | string;

export interface HelloRequest {
  type: "hello";
  id?: string;
  echo?: JsonNumber[];
}

export interface HelloReply {
  protocol: number;
  name: string;
  language: string;
  version: string;
  dtype: "float64" | "float32";
  max_in_flight: number;
  /** What is not listed is never asked for. */
  supports: { layers: string[]; activations: string[]; losses: string[]; optimizers: string[]; batch: boolean };
  echo?: JsonNumber[];
}

export interface CaseRequest {
  type: "case";
  id: string;
  network: { inputs: number; layers: LayerRequest[] };
  loss: { kind: string; threshold?: JsonNumber };
  reduction?: string;
  inputs: JsonNumber[][];
  targets: JsonNumber[][];
  optimizer?: OptimizerRequest;
  steps?: number;
}

export interface LayerRequest {
  kind: string;
  activation: string;
  alpha?: JsonNumber;
  from?: string[];
  combine?: string;
  /** `weights[j][i]` is the weight from input i into neuron j. */
  parameters: { weights: JsonNumber[][]; biases: JsonNumber[] };
}

export interface OptimizerRequest {
  kind: string;
  learning_rate: JsonNumber;
  momentum?: JsonNumber;
  nesterov?: boolean;
  weight_decay?: JsonNumber;
}

export type Request = HelloRequest | CaseRequest;

/** All that this port reports. Only `gradients` is required. */
export interface CaseReply {
  id: string;
  loss: number;
  layers: LayerReply[];
  input_gradients: Numbers[];
  trajectory?: { loss: number; layers: { updated: Parameters }[] }[];
}

/** z, a and delta are `[sample][neuron]`. */
export interface LayerReply {
  z: Numbers[];
  a: Numbers[];
  delta: Numbers[];
  gradients: Parameters;
  updated?: Parameters;
}

export interface Parameters {
  weights: Numbers[];
  biases: Numbers;
}

/** Where there is no reply: the case asks for something that is not there yet, or something went wrong. */
export interface Skip {
  id?: string;
  skip: string;
}

export interface Failure {
  id?: string;
  error: string;
  traceback?: string;
}
