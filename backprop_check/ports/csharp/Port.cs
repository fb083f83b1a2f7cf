// The port: how backprop-check talks to the network in Network.cs.
//
// A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
// There is no mathematics here. Keep this file, and put your own network behind Backprop.Reply.

using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

static class Port
{
    /// <summary>Answers until stdin ends.</summary>
    static void Main()
    {
        var utf8 = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        var input = new StreamReader(Console.OpenStandardInput(), utf8);
        var output = new StreamWriter(Console.OpenStandardOutput(), utf8);
        for (var line = input.ReadLine(); line != null; line = input.ReadLine())
        {
            if (string.IsNullOrWhiteSpace(line)) continue;
            output.Write(Json.Write(Answer(line)) + "\n");
            output.Flush(); // without it the answer would wait in a buffer, and the harness for the answer
        }
    }

    /// <summary>The reply to one request.</summary>
    static Dictionary<string, object> Answer(string line)
    {
        object id = null;
        try
        {
            var request = Json.Object(Json.Parse(line));
            request.TryGetValue("id", out id);
            switch (Json.Text(request["type"]))
            {
                case "hello": return Hello(request);
                case "case": return Backprop.Reply(request);
                default: throw new NotThereYet("the request " + request["type"]);
            }
        }
        catch (NotThereYet reason)
        {
            return new Dictionary<string, object> { ["id"] = id, ["skip"] = reason.Message };
        }
        catch (Exception problem)
        {
            // One case that fails must not end the others: say what happened, and go on.
            return new Dictionary<string, object>
            {
                ["id"] = id,
                ["error"] = problem.GetType().Name + ": " + problem.Message,
                ["traceback"] = problem.ToString(),
            };
        }
    }

    /// <summary>Says who we are and what we can do. What is not listed under supports is never asked for.</summary>
    static Dictionary<string, object> Hello(Dictionary<string, object> request)
    {
        var reply = new Dictionary<string, object>
        {
            ["protocol"] = 1,
            ["name"] = "vanilla-csharp",
            ["language"] = "C#, .NET runtime " + Environment.Version,
            ["version"] = "0.1.0",
            ["dtype"] = "float64",
            ["max_in_flight"] = 16,
            ["supports"] = new Dictionary<string, object>
            {
                ["layers"] = new[] { "dense" },
                ["activations"] = Activation.Named.Keys,
                ["losses"] = Loss.Named.Keys,
                ["optimizers"] = new[] { "sgd" },
                ["batch"] = true,
            },
        };
        // Shows that no digit is lost on the way in and out.
        if (request.TryGetValue("echo", out var echo)) reply["echo"] = echo;
        return reply;
    }
}
