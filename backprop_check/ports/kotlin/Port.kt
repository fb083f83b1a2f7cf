/**
 * The port: how backprop-check talks to the network in Network.kt.
 *
 * A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
 * There is no mathematics here. Keep this file, and put your own network behind `backprop`.
 */

import java.io.PrintWriter
import java.io.StringWriter

/** Answers until stdin ends. */
fun main() {
    val out = System.out.bufferedWriter()
    System.`in`.bufferedReader().forEachLine { line ->
        if (line.isNotBlank()) {
            out.write(toJson(answer(line)) + "\n")
            out.flush() // without it the answer would wait in a buffer, and the harness for the answer
        }
    }
}

/** The reply to one request. */
fun answer(line: String): JsonObject {
    var id: Any? = null
    return try {
        val request = parseJson(line).asObject()
        id = request["id"]
        when (val type = request["type"].asText()) {
            "hello" -> hello(request)
            "case" -> backprop(request)
            else -> throw NotThereYet("the request $type")
        }
    } catch (reason: NotThereYet) {
        mapOf("id" to id, "skip" to reason.message)
    } catch (problem: Throwable) {
        // One case that fails must not end the others: say what happened, and go on.
        val traceback = StringWriter()
        problem.printStackTrace(PrintWriter(traceback))
        mapOf("id" to id, "error" to problem.toString(), "traceback" to traceback.toString())
    }
}

/** Says who we are and what we can do. What is not listed under `supports` is never asked for. */
fun hello(request: JsonObject): JsonObject = mapOf(
    "protocol" to 1,
    "name" to "vanilla-kotlin",
    "language" to "Kotlin ${KotlinVersion.CURRENT}",
    "version" to "0.1.0",
    "dtype" to "float64",
    "max_in_flight" to 16,
    "supports" to mapOf(
        "layers" to listOf("dense"),
        "activations" to activations.keys.toList(),
        "losses" to losses.keys.toList(),
        "optimizers" to listOf("sgd"),
        "batch" to true
    ),
    "echo" to request["echo"] // shows that no digit is lost on the way in and out
)
