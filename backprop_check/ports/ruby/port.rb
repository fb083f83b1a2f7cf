# frozen_string_literal: true

# The port: how backprop-check talks to the network in network.rb.
#
# A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
# There is no mathematics here. Keep this file, and put your own network behind `backprop`.

require "json"
require_relative "activations"
require_relative "backprop"
require_relative "losses"

# The reply to one request.
def answer(line)
  request = {}
  request = JSON.parse(line)
  case request["type"]
  when "hello" then hello(request)
  when "case" then backprop(request)
  else { "id" => request["id"], "skip" => "the request #{request["type"]} is not there yet" }
  end
rescue StandardError, SystemStackError => e
  # One case that fails must not end the others: say what happened, and go on.
  id = request.is_a?(Hash) ? request["id"] : nil
  { "id" => id, "error" => "#{e.class}: #{e.message}", "traceback" => (e.backtrace || []).join("\n") }
end

# Says who we are and what we can do. What is not listed under "supports" is never asked for.
def hello(request)
  reply = {
    "protocol" => 1,
    "name" => "vanilla-ruby",
    "language" => "Ruby #{RUBY_VERSION}",
    "version" => "0.1.0",
    "dtype" => "float64",
    "max_in_flight" => 16,
    "supports" => {
      "layers" => ["dense"],
      "activations" => ACTIVATIONS.keys,
      "losses" => LOSSES.keys,
      "optimizers" => ["sgd"],
      "batch" => true
    }
  }
  reply["echo"] = request["echo"] if request.key?("echo") # shows that no digit is lost on the way in and out
  reply
end

# The reply as one line.
def to_json(reply)
  JSON.generate(reply)
rescue JSON::GeneratorError # there is a NaN or an infinity in it
  JSON.generate(without_nan(reply))
end

# The same value with NaN and infinity as text, since JSON has no numbers for them.
def without_nan(value)
  case value
  when Hash then value.transform_values { |item| without_nan(item) }
  when Array then value.map { |item| without_nan(item) }
  when Float then value.finite? ? value : value.to_s # "NaN", "Infinity" or "-Infinity"
  when String then value.scrub
  else value
  end
end

$stdin.set_encoding("UTF-8")
$stdout.sync = true # without it the answer would wait in a buffer, and the harness for the answer
$stdin.each_line do |line|
  # One write a reply, so that nothing can come between the line and its end.
  $stdout.write("#{to_json(answer(line))}\n") unless line.strip.empty?
end
