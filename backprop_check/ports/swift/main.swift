// The port: how backprop-check talks to the network in network.swift.
//
// A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
// There is no mathematics here. Keep this file, and put your own network behind `backprop`.

import Foundation

#if compiler(>=6.0)
let language = "Swift 6"
#else
let language = "Swift 5"
#endif

/// The reply to one request.
func answer(_ line: String) -> Json {
    var request: Json = [:]
    do {
        let value = try JSONSerialization.jsonObject(with: Data(line.utf8), options: [.fragmentsAllowed])
        guard let object = value as? Json else { throw BadCase(description: "a JSON object expected") }
        request = object
        let type: String = try read("type", of: request)
        if type == "hello" { return hello(request) }
        if type != "case" { throw NotThereYet("the request \(type)") }
        var reply = try backprop(request)
        reply["id"] = request["id"]
        return reply
    } catch let reason as NotThereYet {
        return ["id": request["id"] ?? NSNull(), "skip": reason.what]
    } catch {
        // One case that fails must not end the others: say what happened, and go on.
        return ["id": request["id"] ?? NSNull(), "error": "\(error)"]
    }
}

/// Says who we are and what we can do. What is not listed under "supports" is never asked for.
func hello(_ request: Json) -> Json {
    var reply: Json = [
        "protocol": 1,
        "name": "vanilla-swift",
        "language": language,
        "version": "0.1.0",
        "dtype": "float64",
        "max_in_flight": 16,
        "supports": [
            "layers": ["dense"],
            "activations": activationNames,
            "losses": lossNames,
            "optimizers": ["sgd"],
            "batch": true,
        ] as Json,
    ]
    if let echo = request["echo"] {
        reply["echo"] = echo  // shows that no digit is lost on the way in and out
    }
    return reply
}

/// The value as JSON. (JSONSerialization writes -0.0 as -0, which is read as the integer 0, and stops at a NaN.)
func toJson(_ value: Any) -> String {
    switch value {
    case let number as Double:
        if number.isNaN { return "\"NaN\"" }
        if number.isInfinite { return number > 0.0 ? "\"Infinity\"" : "\"-Infinity\"" }
        return "\(number)"  // the fewest digits that give the same number back
    case let number as Int: return "\(number)"
    case let flag as Bool: return "\(flag)"
    case let text as String: return toJson(text: text)
    case let numbers as Numbers: return "[" + numbers.map { toJson($0) }.joined(separator: ",") + "]"
    case let array as [Any]: return "[" + array.map(toJson).joined(separator: ",") + "]"
    case let object as Json:
        return "{" + object.map { key, item in toJson(text: key) + ":" + toJson(item) }.joined(separator: ",") + "}"
    default: return "null"
    }
}

func toJson(text: String) -> String {
    var json = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": json += "\\\""
        case "\\": json += "\\\\"
        case _ where scalar.value < 0x20: json += String(format: "\\u%04x", scalar.value)
        default: json.unicodeScalars.append(scalar)
        }
    }
    return json + "\""
}

// Answer until stdin ends. A FileHandle has no buffer in which the answer would wait, and the harness for the answer.
while let line = readLine() {
    if line.allSatisfy({ $0.isWhitespace }) { continue }
    FileHandle.standardOutput.write(Data((toJson(answer(line)) + "\n").utf8))
}
