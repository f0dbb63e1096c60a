// Translate a picture with an exported generator, without Python: ONNX Runtime's C++ API and OpenCV.
//     translate ARTEFACT.onnx PICTURE RESULT
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <iostream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <regex>

// Return a number of the artefact's description, which is JSON in its metadata.
int described(const Ort::Session& session, const std::string& key) {
    Ort::AllocatorWithDefaultOptions allocator;
    auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("cyclegan_edge.metadata", allocator);
    std::cmatch match;
    if (!text || !std::regex_search(text.get(), match, std::regex('"' + key + "\":\\s*(\\d+)")))
        throw std::runtime_error("this is no artefact of cyclegan export");
    return std::stoi(match[1]);
}

// Translate a picture in BGR order, 8 bits, of any size.
cv::Mat translate(Ort::Session& session, const cv::Mat& picture) {
    // Sides must be multiples of a number; the picture is reflected up to them, and the result is cut.
    const int multiple = described(session, "size_multiple"), minimum = described(session, "size_minimum");
    auto missing = [=](int side) { return (std::max(side, minimum) + multiple - 1) / multiple * multiple - side; };
    cv::Mat input, result;
    cv::copyMakeBorder(picture, input, 0, missing(picture.rows), 0, missing(picture.cols), cv::BORDER_REFLECT_101);
    cv::cvtColor(input, input, cv::COLOR_BGR2RGB);

    // uint8 [1, H, W, 3] in RGB goes in, and the same comes out; normalising is inside the graph.
    const int64_t shape[] = {1, input.rows, input.cols, 3};
    auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    auto image = Ort::Value::CreateTensor<uint8_t>(memory, input.data, input.total() * 3, shape, 4);
    const char *inputs[] = {"image"}, *outputs[] = {"translated"};
    auto translated = session.Run(Ort::RunOptions{}, inputs, &image, 1, outputs, 1);
    cv::Mat output(input.size(), CV_8UC3, translated[0].GetTensorMutableData<uint8_t>());
    cv::cvtColor(output(cv::Rect({0, 0}, picture.size())), result, cv::COLOR_RGB2BGR);
    return result;
}

int main(int count, char** arguments) try {
    if (count != 4) throw std::runtime_error("usage: translate ARTEFACT.onnx PICTURE RESULT");
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "translate");
    Ort::Session session(environment, arguments[1], Ort::SessionOptions{});
    const cv::Mat picture = cv::imread(arguments[2], cv::IMREAD_COLOR);
    if (picture.empty()) throw std::runtime_error(std::string(arguments[2]) + " is no picture that OpenCV reads");
    if (!cv::imwrite(arguments[3], translate(session, picture))) throw std::runtime_error("the result cannot be written");
} catch (const std::exception& error) {
    std::cerr << "translate: " << error.what() << "\n";
    return 1;
}
