import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import java.util.Map;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * The port: how backprop-check talks to the network in Network.java.
 *
 * A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
 * There is no mathematics here. Keep this file, and put your own network behind {@code Backprop.reply}.
 */
final class Port {
    /** Answers until stdin ends. */
    public static void main(String[] arguments) throws IOException {
        var in = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        var out = new BufferedWriter(new OutputStreamWriter(System.out, UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (line.isBlank()) continue;
            out.write(Json.write(answer(line)) + "\n");
            out.flush(); // without it the answer would wait in a buffer, and the harness for the answer
        }
    }

    /** The reply to one request. */
    private static Map<String, Object> answer(String line) {
        Object id = null;
        try {
            Map<String, Object> request = Json.object(Json.parse(line));
            id = request.get("id");
            String type = Json.text(request.get("type"));
            return switch (type) {
                case "hello" -> hello(request);
                case "case" -> Backprop.reply(request);
                default -> throw new NotThereYet("the request " + type);
            };
        } catch (NotThereYet reason) {
            return Json.of("id", id, "skip", reason.getMessage());
        } catch (Exception | StackOverflowError | AssertionError problem) {
            // One case that fails must not end the others: say what happened, and go on.
            var traceback = new StringWriter();
            problem.printStackTrace(new PrintWriter(traceback));
            return Json.of("id", id, "error", problem.toString(), "traceback", traceback.toString());
        }
    }

    /** Says who we are and what we can do. What is not listed under {@code supports} is never asked for. */
    private static Map<String, Object> hello(Map<String, Object> request) {
        Map<String, Object> reply = Json.of(
                "protocol", 1,
                "name", "vanilla-java",
                "language", "Java " + System.getProperty("java.version"),
                "version", "0.1.0",
                "dtype", "float64",
                "max_in_flight", 16,
                "supports", Json.of(
                        "layers", List.of("dense"),
                        "activations", Activation.NAMES,
                        "losses", Loss.NAMES,
                        "optimizers", List.of("sgd"),
                        "batch", true));
        if (request.containsKey("echo")) {
            reply.put("echo", request.get("echo")); // shows that no digit is lost on the way in and out
        }
        return reply;
    }
}
